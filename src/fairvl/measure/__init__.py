"""What is wrong: association, groups, ranking, leakage, harms, trends, and the audit that runs them."""
