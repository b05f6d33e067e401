// The page: a photo, marks on it, and where they go. All state is here; what is drawn follows from it.

import { listenToKeys, listenToPointers } from "./input.js";
import { beginBox, beginStroke, extend, Marks } from "./marks.js";
import { Painter, TINTS } from "./painter.js";
import { View } from "./view.js";

const STEP = 0.75; // CSS pixels between the points of a stroke
const SETTLED = 150; // ms without a move, after which a closer look is asked for
const SIZES = [1, 400]; // CSS pixels of a brush's diameter, the ends of the slider
const FINEST = 0.75; // photo pixels of a radius: every point has a pixel's centre nearer than that
const find = (id) => document.getElementById(id);
const stage = find("stage"), ring = find("ring"), overlay = find("overlay");

let info, view, painter, marks;
let tool = "brush", diameter = 40; // CSS pixels: what one sees is what one paints, at any zoom
let drawn = null, over = false, busy = false;
let hovered = null; // where the pointer is on the stage
let painting = 0, looking = 0;
const stale = { photo: true, marks: true, overlay: true }; // what the next frame paints anew

const getRadius = () => Math.max(diameter / 2 / view.scale, FINEST);

function refresh(...parts) {
  for (const part of parts) stale[part] = true;
  painting ||= requestAnimationFrame(() => {
    painting = 0;
    if (stale.photo) painter.paintPhoto();
    if (stale.marks) painter.settle(marks.done);
    if (stale.marks || stale.overlay) painter.paintMarks(drawn);
    stale.photo = stale.marks = stale.overlay = false;
    showRing();
  });
}

function showView() {
  find("percent").value = `${Math.round(view.scale * 100 * devicePixelRatio)} %`;
  refresh("photo", "marks");
  clearTimeout(looking);
  looking = setTimeout(lookCloser, SETTLED);
}

async function lookCloser() {
  const box = view.getSight();
  if (info.scale >= 1 || !box || view.scale * devicePixelRatio <= info.scale * 1.1) return;
  const held = painter.detail?.box;
  if (held && box.every((side, i) => (i < 2 ? held[i] <= side : held[i] >= side))
    && painter.detail.scale >= view.scale) return;
  const scale = view.scale;
  try {
    const picture = await load(`photo?box=${box}`);
    if (view.scale !== scale || String(view.getSight()) !== String(box)) return; // it moved on
    painter.detail = { picture, box, scale };
    refresh("photo");
  } catch { /* the coarser one stays */ }
}

async function load(address) {
  const picture = new Image();
  picture.src = address;
  await picture.decode();
  return picture;
}

function showRing() {
  const shown = hovered && tool !== "box" && !over && !stage.matches(".grab, .moving");
  ring.hidden = !shown;
  stage.classList.toggle("round", Boolean(shown) && diameter >= 8);
  if (!shown) return;
  const side = 2 * getRadius() * view.scale;
  ring.style.width = ring.style.height = `${side}px`;
  ring.style.transform = `translate(${hovered.x - side / 2}px, ${hovered.y - side / 2}px)`;
  ring.classList.toggle("erasing", tool === "eraser" || hovered.erase);
}

function showTools() {
  for (const name of ["brush", "eraser", "box"]) find(name).setAttribute("aria-pressed", String(tool === name));
  find("undo").disabled = !marks.done.length;
  find("redo").disabled = !marks.undone.length;
  find("clear").disabled = !marks.done.length && !info.start;
  find("save").disabled = busy || (!marks.done.length && !info.start);
  const [low, high] = SIZES.map(Math.log);
  find("size").value = Math.round((100 * (Math.log(diameter) - low)) / (high - low));
  find("sized").value = `${Math.round(diameter)} px`;
  find("colour").style.background = painter.tint;
  overlay.style.opacity = find("opacity").value / 100;
  refresh();
}

function change(said) {
  drawn = null;
  if (said) find("said").textContent = said;
  find("hint").hidden = true;
  find("alert").hidden = true;
  refresh("marks");
  showTools();
}

const act = {
  begin(place, erases) {
    if (!info || over) return;
    const at = view.toPhoto(place), erase = erases || tool === "eraser";
    drawn = tool === "box" ? beginBox(at, erase) : beginStroke(at, getRadius(), erase);
    find("hint").hidden = true;
    refresh("overlay");
  },
  extend(place) {
    if (!drawn) return;
    extend(drawn, view.toPhoto(place), STEP / view.scale);
    refresh("overlay");
  },
  end() {
    const mark = drawn;
    drawn = null;
    const [x0, y0, x1, y1] = mark?.points ?? [];
    if (mark && !(mark.kind === "box" && (x0 === x1 || y0 === y1))) marks.add(mark);
    change("");
  },
  drop() {
    drawn = null;
    refresh("overlay");
  },
  hover(place, erase = false) {
    hovered = place && { ...place, erase };
    refresh();
  },
  move(dx, dy) { view.move(dx, dy); showView(); },
  zoom(factor, at) { view.zoom(factor, at); showView(); },
  fit() { view.fit(); showView(); },
  showTrue() { act.zoom(1 / devicePixelRatio / view.scale, hovered ?? undefined); },
  choose(name) { tool = name; showTools(); },
  resize(steps) {
    diameter = Math.min(Math.max(diameter * 1.15 ** steps, SIZES[0]), SIZES[1]);
    showTools();
  },
  undo() { if (marks.undo()) change("Undone"); },
  redo() { if (marks.redo()) change("Done again"); },
  invert() { marks.add({ kind: "invert" }); change("Inverted"); },
  clear() {
    if (find("clear").disabled) return;
    marks.add({ kind: "clear" });
    change("Cleared");
  },
  hush(hushed) { overlay.classList.toggle("hushed", hushed); },
  recolour() {
    painter.tint = TINTS[(TINTS.indexOf(painter.tint) + 1) % TINTS.length];
    showTools();
    refresh("marks");
  },
  help() { find("keys").showModal(); },
  save: () => send("mask", { marks: marks.done }),
};

async function send(where, record) {
  if (busy || over || (where === "mask" && find("save").disabled)) return;
  busy = true;
  if (marks) showTools();
  find("hint").textContent = "Saving …";
  find("hint").hidden = where !== "mask";
  try {
    const answer = await fetch(where, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(record),
    });
    const told = await answer.json();
    if (answer.ok) finish(told.saved);
    else complain(told.error);
  } catch {
    complain("a2 does not answer. Is it still waiting in the terminal? The marks are still here.");
  }
  busy = false;
  find("hint").hidden = true;
  if (marks) showTools();
}

function complain(message) {
  find("alert").textContent = message;
  find("alert").hidden = false;
}

function finish(saved) {
  over = true;
  marks?.forget();
  find("end-title").textContent = saved ? "Saved" : "Cancelled";
  find("end-text").textContent = saved
    ? `The mask is in ${info.out}. a2 goes on in the terminal; you can close this tab.`
    : "No mask was saved. You can close this tab.";
  for (const part of document.querySelectorAll("header, main, footer")) part.inert = true;
  find("end").hidden = false;
  find("end").focus();
}

async function cancel() {
  if (!marks?.done.length) { send("cancel", {}); return; }
  find("leave").returnValue = "";
  find("leave").showModal();
}

async function begin() {
  info = await (await fetch("info")).json();
  view = new View(info.width, info.height);
  painter = new Painter(find("photo"), overlay, view);
  marks = new Marks(location.pathname);
  find("name").textContent = `${info.name}, ${info.width} × ${info.height}`;
  find("name").title = info.name;
  painter.picture = await load("photo");
  if (info.start) painter.start = await load("mask");
  listenToPointers(stage, act, keyboard);
  listenToKeys(stage, act, keyboard);
  new ResizeObserver(() => {
    view.resize(stage.clientWidth, stage.clientHeight);
    painter.resize();
    showView();
  }).observe(stage);
  find("hint").textContent = info.start ? "This mask is there already: go on with it." : "Paint over what is to be replaced.";
  document.querySelector("footer").inert = false;
  showTools();
}

const keyboard = { space: false };
for (const name of ["undo", "redo", "invert", "clear", "fit", "save", "help"]) find(name).onclick = () => act[name]();
for (const name of ["brush", "eraser", "box"]) find(name).onclick = () => act.choose(name);
find("colour").onclick = act.recolour;
find("closer").onclick = () => act.zoom(1.25);
find("farther").onclick = () => act.zoom(0.8);
find("cancel").onclick = cancel;
find("leave").onclose = () => { if (find("leave").returnValue === "leave") send("cancel", {}); };
find("opacity").oninput = showTools;
find("size").oninput = ({ target }) => {
  const [low, high] = SIZES.map(Math.log);
  diameter = Math.exp(low + (target.value / 100) * (high - low));
  hovered = { x: view.stage.width / 2, y: view.stage.height / 2 }; // shows the size
  showTools();
};
find("size").onchange = () => act.hover(null);
addEventListener("beforeunload", (event) => { if (info && !over && marks?.done.length) event.preventDefault(); });

begin().catch(() => {
  find("hint").hidden = true;
  complain("The photo cannot be shown. Is a2 still waiting in the terminal? Then load this page again.");
});
