"""The script of a study's page: shows trials in order, keeps the answers, gives them out as JSON."""

SCRIPT = r"""
"use strict";
(() => {
  const find = (id) => document.getElementById(id);
  const { study, questions, trials, pictures } = STUDY;
  const steps = trials.flatMap((trial) => questions.map((question) => ({ trial, question })));
  const place = `a2-study-${study}`;
  const SOONEST = 500; // ms after which an answer counts: a double click or a held key is none
  const SVG = "http://www.w3.org/2000/svg";
  let state = recall(), since = 0, address = "";

  function recall() {
    try {
      const kept = JSON.parse(localStorage.getItem(place));
      const fine = kept && Array.isArray(kept.answers) && typeof kept.rater === "string" && kept.answers.length
        <= steps.length && kept.answers.every((one, i) => one.trial === steps[i].trial.code
        && one.question === steps[i].question.name && ["left", "right", "tie"].includes(one.answer));
      if (fine) return { name: "", ...kept };
    } catch { /* kept elsewhere, or nowhere */ }
    return begin();
  }
  function begin() {
    const drawn = crypto.getRandomValues(new Uint32Array(2));
    const rater = [...drawn].map((number) => number.toString(16).padStart(8, "0")).join("");
    return { rater, name: "", started: new Date().toISOString(), answers: [] };
  }
  function keep() {
    try { localStorage.setItem(place, JSON.stringify(state)); } catch { /* it then lasts as long as the page */ }
  }
  function draw(id, number, box, outline) {
    const svg = find(id), [data, width, height] = pictures[number];
    const image = document.createElementNS(SVG, "image");
    image.setAttribute("href", `data:image/webp;base64,${data}`);
    image.setAttribute("width", width);
    image.setAttribute("height", height);
    svg.replaceChildren(image);
    for (const kind of outline ? ["edge", "line"] : []) {
      const path = document.createElementNS(SVG, "path");
      path.setAttribute("class", kind);
      path.setAttribute("d", outline);
      svg.append(path);
    }
    svg.setAttribute("viewBox", box && box.length ? box.join(" ") : `0 0 ${width} ${height}`);
  }
  const isPressed = (id) => find(id).getAttribute("aria-pressed") === "true";
  function show() {
    const done = state.answers.length, over = done === steps.length;
    find("intro").hidden = true;
    find("trial").hidden = over;
    find("end").hidden = !over;
    if (over) { finish(); return; }
    const { trial, question } = steps[done];
    const box = isPressed("zoom") ? trial.zoom : [];
    draw("source", trial.source, box, trial.outline);
    draw("left", trial.left, box, "");
    draw("right", trial.right, box, "");
    find("reference-view").hidden = trial.reference === null;
    if (trial.reference !== null) draw("reference", trial.reference, [], "");
    find("zoom").disabled = find("mask").disabled = !trial.outline;
    document.body.classList.toggle("bare", !isPressed("mask"));
    find("question").textContent = question.text;
    find("prompt").textContent = trial.prompt && `Asked for: ${trial.prompt}`;
    find("place").textContent = `${done + 1} of ${steps.length}`;
    find("bar").firstElementChild.style.width = `${(100 * done) / steps.length}%`;
    find("undo").disabled = done === 0;
  }
  function ask() {
    show();
    since = performance.now();
  }
  function answer(value) {
    if (find("trial").hidden) return;
    const { trial, question } = steps[state.answers.length];
    const ms = Math.round(performance.now() - since);
    if (ms < SOONEST) return;
    state.answers.push({ trial: trial.code, question: question.name, answer: value, ms });
    keep();
    ask();
  }
  function undo() {
    if (!find("intro").hidden || state.answers.length === 0) return;
    state.answers.pop();
    keep();
    ask();
  }
  function toggle(id) {
    if (find("trial").hidden || find(id).disabled) return;
    find(id).setAttribute("aria-pressed", String(!isPressed(id)));
    show();
  }
  function finish() {
    const { format, version } = STUDY;
    const record = { format, version, study, ...state, finished: new Date().toISOString() };
    const text = JSON.stringify(record, null, 1);
    const count = (value) => state.answers.filter((one) => one.answer === value).length;
    find("answers").value = text;
    find("said").textContent = "";
    find("summary").textContent = `${steps.length} answers: ${count("left")} for A, ${count("right")} for B, `
      + `${count("tie")} equal. Save them, and hand the file to whoever gave you this page.`;
    URL.revokeObjectURL(address);
    address = URL.createObjectURL(new Blob([text + "\n"], { type: "application/json" }));
  }
  function save() {
    const link = document.createElement("a");
    link.href = address;
    link.download = `answers-${study}-${state.rater}.json`;
    document.body.append(link);
    link.click();
    link.remove();
    find("said").textContent = `Saved as ${link.download}.`;
  }
  async function copy() {
    const box = find("answers");
    box.focus();
    box.select();
    let copied = false;
    try {
      await navigator.clipboard.writeText(box.value);
      copied = true;
    } catch { copied = document.execCommand("copy"); }
    find("said").textContent = copied ? "Copied." : "Press Ctrl+C: the text is selected.";
  }
  function start() {
    state.name = find("name").value.trim();
    keep();
    ask();
    find("question").focus({ preventScroll: true });
  }
  function afresh() {
    const button = find("restart"), lost = `Discard ${state.answers.length} answers`;
    if (button.textContent !== lost) { button.textContent = lost; return; }
    state = begin();
    start();
  }
  const keys = {
    ArrowLeft: () => answer("left"), a: () => answer("left"), ArrowRight: () => answer("right"),
    b: () => answer("right"), ArrowDown: () => answer("tie"), "=": () => answer("tie"), Backspace: undo, u: undo,
    z: () => toggle("zoom"), m: () => toggle("mask"),
  };
  addEventListener("keydown", (event) => {
    const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    const typed = event.target.closest?.("input, textarea");
    if (event.repeat && event.key === "Enter" && !typed) event.preventDefault(); // held on a button
    if (!act || typed || !find("intro").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    if (!event.repeat) act();
  });
  for (const [id, act] of [["choose-left", () => answer("left")], ["choose-right", () => answer("right")],
    ["tie", () => answer("tie")], ["undo", undo], ["back", undo], ["zoom", () => toggle("zoom")],
    ["mask", () => toggle("mask")], ["start", start], ["save", save], ["copy", copy],
    ["restart", afresh]]) find(id).addEventListener("click", act);
  if (state.answers.length) {
    find("start").textContent = `Go on (${state.answers.length} of ${steps.length} done)`;
    find("restart").hidden = false;
  }
  find("name").value = state.name;
  find("intro").hidden = false;
})();
"""
