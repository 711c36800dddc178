(() => {
  "use strict";
  const root = document.documentElement;
  root.classList.add("scripted");
  const $ = (id) => document.getElementById(id);

  // Theme: what the system prefers, unless the reader chose. Storage may be refused on file://.
  const remembered = () => { try { return localStorage.getItem("fairvl-theme"); } catch { return null; } };
  const remember = (name) => { try { localStorage.setItem("fairvl-theme", name); } catch { /* not remembered */ } };
  const toggle = $("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const label = () => {
    toggle.setAttribute("aria-pressed", String(isDark()));
    toggle.textContent = isDark() ? "Light" : "Dark";
    toggle.setAttribute("aria-label", isDark() ? "Switch to the light theme" : "Switch to the dark theme");
  };
  if (["light", "dark"].includes(remembered())) root.dataset.theme = remembered();
  toggle.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remember(root.dataset.theme);
    label();
  });
  system.addEventListener("change", label);
  label();

  // Table: filter and sort.
  const body = $("table").tBodies[0];
  const rows = [...body.rows];
  const words = rows.map((row) => row.textContent.toLowerCase());
  const filter = $("filter");
  const selects = [...document.querySelectorAll("select[data-column]")];
  const apply = () => {
    const wanted = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    rows.forEach((row, i) => {
      const keep = wanted.every((word) => words[i].includes(word)) &&
        selects.every((s) => s.value === "" || row.cells[Number(s.dataset.column)].textContent === s.value);
      row.hidden = !keep;
      shown += keep;
    });
    $("count").textContent = shown === rows.length ? `${rows.length} rows` : `${shown} of ${rows.length} rows`;
  };
  filter.addEventListener("input", apply);
  selects.forEach((s) => s.addEventListener("change", apply));
  $("clear").addEventListener("click", () => {
    filter.value = "";
    selects.forEach((s) => { s.value = ""; });
    apply();
    filter.focus();
  });
  apply();

  const heads = [...$("table").tHead.rows[0].cells];
  const order = new Map(rows.map((row, i) => [row, i]));
  const compare = (column, sign) => (a, b) => {
    const left = a.cells[column], right = b.cells[column];
    if ("v" in left.dataset || "v" in right.dataset) {
      const x = left.dataset.v === "" ? NaN : Number(left.dataset.v);
      const y = right.dataset.v === "" ? NaN : Number(right.dataset.v);
      if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y) || order.get(a) - order.get(b);
      return sign * (x - y) || order.get(a) - order.get(b);
    }
    return sign * left.textContent.localeCompare(right.textContent) || order.get(a) - order.get(b);
  };
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const next = { none: "ascending", ascending: "descending", descending: "none" }[head.getAttribute("aria-sort")];
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", next);
      const sorted = next === "none" ? rows : [...rows].sort(compare(column, next === "ascending" ? 1 : -1));
      body.append(...sorted);
    });
  });

  // Download: the findings file of each run, rebuilt character for character from the packed columns.
  let data = null;
  const findingsFile = (number) => {
    data = data || JSON.parse($("data").textContent);
    const run = data.runs[number];
    const records = run.order.map((order, row) => {
      const fields = run.orders[order].map((column) => {
        const { name, texts, index } = run.columns[column];
        return `   ${name}: ${texts[index ? index[row] : 0]}`;
      });
      return `  {\n${fields.join(",\n")}\n  }`;
    });
    return `${run.head}${records.length ? `[\n${records.join(",\n")}\n ]` : "[]"}\n}`;
  };
  document.querySelectorAll("a[data-run]").forEach((link) => {
    link.addEventListener("click", () => {
      if (link.href.startsWith("blob:")) return;
      const file = new Blob([findingsFile(Number(link.dataset.run))], { type: "application/json" });
      link.href = URL.createObjectURL(file);
    });
  });

  // Print what is folded away, and fold it again afterwards.
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    opened.forEach((d) => { d.open = true; });
  });
  addEventListener("afterprint", () => opened.forEach((d) => { d.open = false; }));
})();
