// Keys, theme, dialogs, completion, and the heartbeat of live regions. Every page works without it.
const $ = (s, r = document) => r.querySelector(s), $$ = (s, r = document) => [...r.querySelectorAll(s)];
const root = document.documentElement;
const places = Object.fromEntries($$("[data-go]").map(a => [a.dataset.go, a.getAttribute("href")]));
const BEAT_MS = 5000;
let waiting = null;  // the timer that runs between "g" and the key of a page

function theme() {
  root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
}
function say(text) { $("#said").textContent = text; }
function selected() { return $("[data-row].sel"); }
function move(step) {
  const rows = $$("[data-row]"); if (!rows.length) return;
  const to = rows[Math.max(0, Math.min(rows.length - 1, rows.indexOf(selected()) + step))];
  rows.forEach(r => r.classList.remove("sel")); to.classList.add("sel"); to.scrollIntoView({ block: "nearest" });
  say(to.dataset.row);
}
function stepChange(step) {
  const marks = $$(".mk").sort((a, b) => a.dataset.x - b.dataset.x); if (!marks.length) return;
  const at = marks.indexOf(document.activeElement), to = at < 0 ? (step > 0 ? 0 : marks.length - 1) : at + step;
  marks[Math.max(0, Math.min(marks.length - 1, to))].focus();
}
function mark() {
  const box = selected()?.querySelector("input[type=checkbox]"); if (!box) return;
  box.checked = !box.checked; say(box.checked ? "marked" : "not marked"); counted();
}
function wrong() {
  const button = selected()?.querySelector("[data-wrong]");
  if (button) button.click(); else if ($("[data-wrong]")) say("choose a row with j and k first");
}
function counted() {
  const n = $$("[name=t]:checked").length, label = $("#marked");
  if (label) label.textContent = n ? `${n} marked` : "";
}
function back() {
  if (location.hash) {  // going to "#" is what ends :target; the page must not jump for it
    const at = scrollY; location.replace("#"); scrollTo(0, at);
    history.replaceState(null, "", location.pathname + location.search); return;
  }
  const up = $(".crumb a"); if (up) up.click();
}
const acts = {
  g: () => { waiting = setTimeout(() => waiting = null, 1200); },
  "/": () => $("[data-search]")?.focus(), "?": () => $("#keys").showModal(), d: theme,
  j: () => move(1), k: () => move(-1), x: mark, w: wrong, ",": () => stepChange(-1), ".": () => stepChange(1),
  Escape: back,
};

document.addEventListener("click", e => {
  const opener = e.target.closest("[data-open]"), dialog = opener && $(opener.dataset.open);
  if (dialog) { e.preventDefault(); dialog.showModal(); }
  const closer = e.target.closest("[data-close]");
  if (closer) { e.preventDefault(); closer.closest("dialog").close(); }
  if (e.target.closest("[data-theme-switch]")) theme();
  const copy = e.target.closest("[data-copy]");
  if (copy) navigator.clipboard?.writeText($(copy.dataset.copy).textContent).then(() => { copy.textContent = "Copied"; }, () => {});
  if (e.target.matches("[name=t]")) counted();
  const row = e.target.closest("tr[data-row]");
  if (row && !e.target.closest("a, button, input, label") && !getSelection().toString()) row.querySelector("[data-main]")?.click();
});
document.addEventListener("keydown", e => {
  if (e.key === "Escape" && e.target.matches("input, textarea, select")) { e.target.blur(); return; }
  if (e.ctrlKey || e.metaKey || e.altKey || e.target.matches("input:not([type=checkbox], [type=radio]), textarea, select") || $("dialog[open]")) return;
  if (waiting) {
    clearTimeout(waiting); waiting = null;
    if (places[e.key]) { e.preventDefault(); location.href = places[e.key]; }
    return;
  }
  if (e.key === "Enter") {
    const at = document.activeElement, save = $('[data-key="Enter"]');
    if (at !== document.body && at !== $("main") && !at.matches("[type=radio]")) return;
    if (save) { e.preventDefault(); save.click(); } else selected()?.querySelector("[data-main]")?.click();
    return;
  }
  const hot = $(`[data-key="${CSS.escape(e.key)}"]`), act = acts[e.key];
  if (hot) { e.preventDefault(); hot.click(); } else if (act) { e.preventDefault(); act(); }
});

// Completion of the query bar: what may come next, asked while somebody types. The arrows choose, Enter or Tab takes it.
$$("[data-complete]").forEach(input => {
  const box = input.closest("form"), list = document.createElement("ul");
  let choices = [], at = -1, timer = null, asked = 0, waiting = false;
  Object.assign(list, { className: "choices", id: `${input.id}-choices`, hidden: true });
  list.setAttribute("role", "listbox"); list.setAttribute("aria-label", "Suggestions");
  box.append(list);
  for (const [name, value] of [["role", "combobox"], ["aria-autocomplete", "list"], ["aria-controls", list.id], ["aria-expanded", "false"]]) input.setAttribute(name, value);
  function close() {
    choices = []; at = -1; list.hidden = true; list.replaceChildren();
    input.setAttribute("aria-expanded", "false"); input.removeAttribute("aria-activedescendant");
  }
  function pick(to) {
    at = (to + choices.length) % choices.length;
    [...list.children].forEach((li, n) => li.setAttribute("aria-selected", String(n === at)));
    input.setAttribute("aria-activedescendant", list.children[at].id); list.children[at].scrollIntoView({ block: "nearest" });
  }
  function take(one) {
    const goesOn = ["operator", "statistic of a column", "name"].includes(one.note) && /[:=<>~]$/.test(one.text);
    const text = one.text + (goesOn ? "" : " "), rest = input.value.slice(one.end);
    input.value = input.value.slice(0, one.start) + text + (goesOn ? rest : rest.trimStart());
    input.setSelectionRange(one.start + text.length, one.start + text.length);
    close(); ask();
  }
  function show(found) {
    close(); choices = found;
    list.replaceChildren(...found.map((one, n) => {
      const li = document.createElement("li"), text = document.createElement("span"), hint = document.createElement("span");
      li.id = `${list.id}-${n}`; li.setAttribute("role", "option"); li.setAttribute("aria-selected", "false");
      text.className = "mono"; text.textContent = one.text; hint.className = "hint"; hint.textContent = one.note;
      li.append(text, hint);
      li.addEventListener("mousedown", e => { e.preventDefault(); take(one); });
      return li;
    }));
    list.hidden = !found.length; input.setAttribute("aria-expanded", String(found.length > 0));
  }
  async function ask() {
    waiting = true;  // also for what is asked at once, after a choice or an arrow
    const number = ++asked, cursor = [...input.value.slice(0, input.selectionStart)].length;
    const address = `${input.dataset.complete}?${new URLSearchParams({ q: input.value, cursor })}`;
    try {
      const answer = await fetch(address, { headers: { accept: "application/json" } });
      if (!answer.ok || number !== asked || document.activeElement !== input) return;
      const found = (await answer.json()).suggestions, shift = unit(input.value);
      if (number === asked) show(found.map(one => ({ ...one, start: shift(one.start), end: shift(one.end) })));
    } catch { close(); } finally { if (number === asked) waiting = false; }
  }
  const unit = text => { const all = [...text]; return n => all.slice(0, n).join("").length; };  // characters to UTF-16
  input.addEventListener("input", () => { clearTimeout(timer); waiting = true; timer = setTimeout(ask, 120); });
  input.addEventListener("blur", close);
  input.addEventListener("keydown", e => {
    if (e.key === "ArrowDown" && list.hidden) { e.preventDefault(); ask(); return; }
    if (e.key === "Escape" && (waiting || !list.hidden)) {  // also what is still on its way must not come after it
      clearTimeout(timer); asked += 1; waiting = false;
      e.preventDefault(); e.stopPropagation(); close(); return;
    }
    if (list.hidden) return;
    if (e.key === "ArrowDown" || e.key === "ArrowUp") { e.preventDefault(); pick(e.key === "ArrowDown" ? at + 1 : at < 0 ? -1 : at - 1); }
    else if ((e.key === "Enter" && at >= 0) || (e.key === "Tab" && !e.shiftKey)) { e.preventDefault(); take(choices[Math.max(at, 0)]); }
  });
});

// A slider and the number it stands for move together; only the number is sent.
document.addEventListener("input", e => {
  const twin = e.target.dataset.twin ? $(`#${e.target.dataset.twin}`) : $(`[data-twin="${CSS.escape(e.target.id)}"]`);
  if (twin) twin.value = e.target.value;
});

// On a small screen the navigation is one line: the place where one is must be in sight.
$(".side [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

// A chart wider than the screen begins at its newest end; a table begins with its first column.
$$(".scrollx").forEach(s => { if (!s.querySelector(":scope > table")) s.scrollLeft = s.scrollWidth; });

// The heartbeat: live regions listen for "tick" and fetch themselves, only while somebody looks.
let missed = 0;
setInterval(() => {
  if (document.visibilityState !== "visible" || $("dialog[open]") || !$("[hx-trigger]")) return;
  missed += 1;
  if (missed > 2) { $("#asof")?.classList.add("stale"); say("not updating: the server does not answer"); }
  document.body.dispatchEvent(new CustomEvent("tick"));
}, BEAT_MS);
document.addEventListener("htmx:after:swap", () => { missed = 0; $("#asof")?.classList.remove("stale"); });

// Deadlines count down from what was left when the page was made; the reader's own clock may be wrong.
const from = performance.now();
if ($("[data-left]")) setInterval(() => $$("[data-left]").forEach(b => {
  const left = Math.max(0, Math.round(b.dataset.left - (performance.now() - from) / 1000));
  b.textContent = !left ? "no time" : left < 120 ? `${left} s` : left < 7200 ? `${Math.floor(left / 60)} min ${left % 60} s` : `${Math.floor(left / 3600)} h`;
}), 1000);
