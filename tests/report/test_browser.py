"""The report in a real browser: headless Chromium opens the file as a reader would, from disk and offline."""

import base64
import json
import shutil
import time

import pytest

from fairvl.findings import Findings
from fairvl.report import report

pytestmark = pytest.mark.browser

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip

# Contrast of every visible text with the nearest opaque background behind it, by WCAG's formula.
CONTRAST = """
const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
const rgb = (css) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = css; canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data]; };
const light = ([r, g, b]) => { const f = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b); };
const behind = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor);
  if (c[3] === 255) return c; } return [255, 255, 255, 255]; };
const seen = new Map();
for (const e of document.querySelectorAll("body *")) {
  if (e.closest("script, style, title, desc, [hidden]") || !e.getClientRects().length) continue;
  if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
  const style = getComputedStyle(e), text = rgb(e.closest("svg") ? style.fill : style.color), back = behind(e);
  const [a, b] = [light(text), light(back)].sort((x, y) => y - x);
  const key = `${e.tagName}.${e.getAttribute("class") || ""} ${text} on ${back}`;
  seen.set(key, (a + 0.05) / (b + 0.05));
}
return [...seen];
"""


def find_browser():
    pytest.importorskip("selenium", reason="selenium is not installed")
    browser = next((p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None)
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("headless Chromium and its driver are not installed (Debian: chromium, chromium-driver)")
    return browser, driver


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    """A driver with a fresh profile, and the folder its downloads go to."""
    browser, driver = find_browser()
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(driver))
    chrome.set_script_timeout(60)
    yield chrome
    chrome.quit()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Reports already written, by the findings they show."""
    paths = {}

    def write(findings):
        key = findings.to_json() if isinstance(findings, Findings) else str([table.to_json() for table in findings])
        if key not in paths:
            paths[key] = report(findings, tmp_path_factory.mktemp("page"))
        return paths[key]

    return write


def emulate(page, *, dark=False, width=1280, media="screen"):
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = {"prefers-color-scheme": "dark" if dark else "light", "prefers-reduced-motion": "reduce"}
    wanted = [{"name": name, "value": value} for name, value in features.items()]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": wanted})


@pytest.fixture
def look(chromium, written, tmp_path):
    """Open the report of some findings: `look(findings, dark=False, width=1280)` returns the driver."""

    def opened(findings, *, scripts=True, **emulation):
        emulate(chromium, **emulation)
        chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not scripts})
        folder = {"behavior": "allow", "downloadPath": str(tmp_path)}
        chromium.execute_cdp_cmd("Browser.setDownloadBehavior", folder)
        if chromium.current_url.startswith("file:") and scripts:
            chromium.execute_script("localStorage.clear()")  # every file shares one store: forget the chosen theme
        chromium.get_log("browser")
        chromium.get_log("performance")
        chromium.get(written(findings).as_uri())
        return chromium

    yield opened
    chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


VISIBLE = """
return [...document.querySelectorAll("#table tbody tr")].filter((row) => !row.hidden)
  .map((row) => [...row.cells].map((cell) => cell.textContent));
"""


def rows(page):
    return page.execute_script(VISIBLE)


def unfold(page):
    page.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true; })")


def test_it_opens_from_disk_without_complaints_or_requests(look, findings):
    page = look(findings)
    assert page.find_element("id", "headline").text.startswith("Gender bias fell by")
    assert page.get_log("browser") == [], "console errors and refused styles or scripts land here"
    assert page.execute_script("return performance.getEntriesByType('resource').map(e => e.name)") == []
    asked = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    urls = {m["params"]["request"]["url"] for m in asked if m["method"] == "Network.requestWillBeSent"}
    assert all(url.startswith(("file://", "data:", "chrome")) for url in urls)


def test_the_policy_refuses_a_foreign_script(look, findings):
    page = look(findings)
    add = "const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s);"
    page.execute_script(add)
    assert page.execute_script("return window.ran === undefined")
    assert any("Content Security Policy" in entry["message"] for entry in page.get_log("browser"))


def test_the_filter_box_and_the_column_filters_reduce_the_rows(look, findings):
    page = look(findings)
    everything = len(rows(page))
    assert everything == len(findings)
    page.find_element("id", "filter").send_keys("mechanic faces")
    found = rows(page)
    assert 0 < len(found) < everything
    assert all("mechanic faces" in row[1] for row in found)
    assert page.find_element("id", "count").text == f"{len(found)} of {everything} rows"
    page.find_element("id", "clear").click()
    assert len(rows(page)) == everything
    choose = "const s = document.querySelector('select[data-column=\"0\"]'); s.value = 'Harm rate';"
    page.execute_script(choose + "s.dispatchEvent(new Event('change'));")
    assert {row[0] for row in rows(page)} == {"Harm rate"}


def test_sorting_orders_the_rows_and_says_so(look, findings):
    page = look(findings)
    before = rows(page)
    head = next(h for h in page.find_elements("css selector", "#table th") if h.text == "Value")
    column = page.execute_script("return arguments[0].cellIndex", head)
    keys = "return [...document.querySelectorAll('#table tbody tr')].map(r => r.cells[arguments[0]].dataset.v)"

    def state():
        values = page.execute_script(keys, column)
        known = [float(v) for v in values if v]
        assert all(v for v in values[: len(known)]), "undefined values come last"
        return head.get_attribute("aria-sort"), known

    button = head.find_element("tag name", "button")
    assert head.get_attribute("aria-sort") == "none"
    button.send_keys("\ue007")
    assert state() == ("ascending", sorted(state()[1]))
    button.send_keys("\ue007")
    assert state() == ("descending", sorted(state()[1], reverse=True))
    button.send_keys(" ")
    assert head.get_attribute("aria-sort") == "none"
    assert rows(page) == before


def test_the_keyboard_reaches_everything_and_focus_is_seen(look, predictions):
    from selenium.webdriver import ActionChains, Keys

    page = look(predictions)
    reached, outlines = [], []
    for _ in range(60):
        ActionChains(page).send_keys(Keys.TAB).perform()
        name, outline = page.execute_script(
            "const e = document.activeElement, s = getComputedStyle(e);"
            "return [e.id || e.getAttribute('class') || e.textContent.trim(), s.outlineStyle + ' ' + s.outlineWidth]"
        )
        reached.append(name)
        outlines.append(outline)
    assert reached[0] == "skip"
    for control in ("theme", "filter", "clear", "button", "Metric", "Value"):
        assert control in reached, control
    focused = [o for n, o in zip(reached, outlines, strict=True) if n]
    assert all(o.startswith(("solid", "auto")) and not o.endswith(" 0px") for o in focused[: reached.index("Value")])


def test_the_skip_link_goes_to_the_report(look, predictions):
    from selenium.webdriver import ActionChains, Keys

    page = look(predictions)
    ActionChains(page).send_keys(Keys.TAB, Keys.ENTER).perform()
    assert page.execute_script("return document.activeElement.id") == "main"


@pytest.mark.parametrize("dark", [False, True])
def test_the_toggle_switches_the_theme_the_system_asked_for(look, predictions, dark):
    page = look(predictions, dark=dark)
    colour = "return getComputedStyle(document.body).backgroundColor"
    first = page.execute_script(colour)
    toggle = page.find_element("id", "theme")
    assert toggle.get_attribute("aria-pressed") == str(dark).lower()
    toggle.click()
    second = page.execute_script(colour)
    assert first != second
    assert toggle.get_attribute("aria-pressed") == str(not dark).lower()
    toggle.click()
    assert page.execute_script(colour) == first


def test_every_text_has_contrast_in_both_themes(look, findings):
    page = look(findings)
    unfold(page)
    light = page.execute_script(CONTRAST)
    emulate(page, dark=True)
    dark = page.execute_script(CONTRAST)
    assert len(light) > 25
    assert {what for what, _ in light}.isdisjoint(what for what, _ in dark), "the theme did not change"
    assert {what: ratio for what, ratio in light + dark if ratio < 4.5} == {}


def test_the_contrast_test_can_fail(look, predictions):
    page = look(predictions)
    page.execute_script("document.documentElement.style.setProperty('--soft', '#bbbbbb')")
    assert any(ratio < 4.5 for _, ratio in page.execute_script(CONTRAST))


def test_the_download_is_the_findings_file(look, findings, tmp_path):
    page = look(findings)
    page.find_element("css selector", "a[data-run]").click()
    path = tmp_path / "findings.json"
    end = time.monotonic() + 20
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert path.read_text(encoding="utf-8") == findings.to_json()
    assert type(findings).read(path).records() == findings.records()


def test_the_page_never_scrolls_sideways(look, findings):
    page = look(findings)
    unfold(page)
    for width in (380, 768, 1280):
        emulate(page, width=width)
        assert page.execute_script("return document.documentElement.scrollWidth") <= width


def test_long_names_do_not_break_the_narrow_page(look, make_findings):
    page = look([make_findings(model="m" * 180), make_findings(model="n" * 180)], width=380)
    assert page.execute_script("return document.documentElement.scrollWidth") <= 380


def test_it_prints_white_without_controls_and_with_everything_unfolded(look, findings):
    page = look(findings, dark=True)
    document = base64.b64decode(page.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"])
    assert document.startswith(b"%PDF")
    assert len(document) > 50_000
    emulate(page, media="print")
    assert page.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    gone = "return [...document.querySelectorAll('.bar, .controls, .skip')].map(e => getComputedStyle(e).display)"
    assert set(page.execute_script(gone)) == {"none"}
    page.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert page.execute_script("return [...document.querySelectorAll('details')].every(d => d.open)")


def test_it_reads_without_scripts(look, findings):
    page = look(findings, scripts=False)
    assert page.find_element("id", "headline").text.startswith("Gender bias fell by")
    assert page.find_element("css selector", "#table tbody tr td").text
    assert not page.find_element("id", "theme").is_displayed()
    assert page.find_element("css selector", "#association svg").is_displayed()
