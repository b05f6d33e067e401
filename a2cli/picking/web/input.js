// Pointers and keys, told apart and passed on. `act` has: begin(at, erase), extend(at), end(), drop(), move(dx, dy),
// zoom(factor, at), hover(at or null, erase), resize(steps), and what `keys` names.

const LINE = 16, PAGE = 400; // px of a wheel that counts in lines or pages
const NUDGE = 60; // px an arrow key moves the photo by
const [RIGHT, MIDDLE, PEN_END] = [2, 1, 5]; // buttons

export function listenToPointers(stage, act, keyboard) {
  const touches = new Map(); // fingers on the glass
  let drawing = null, moving = null, last = null; // ids of pointers; where the moving one was
  let hasPen = false, pinched = false;

  const getPlace = (event) => {
    const box = stage.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const getPinch = () => {
    const [a, b] = [...touches.values()];
    return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, spread: Math.max(Math.hypot(a.x - b.x, a.y - b.y), 1) };
  };
  const stop = () => {
    drawing = moving = null;
    stage.classList.remove("moving");
  };

  stage.addEventListener("pointerdown", (event) => {
    const at = getPlace(event), isTouch = event.pointerType === "touch";
    event.preventDefault();
    document.activeElement?.blur(); // keys are the page's again
    stage.setPointerCapture(event.pointerId);
    hasPen ||= event.pointerType === "pen";
    if (isTouch) {
      touches.set(event.pointerId, at);
      if (touches.size > 1) { // the first finger did not mean to draw
        if (drawing !== null) act.drop();
        stop();
        pinched = true;
        return;
      }
    }
    if (drawing !== null || moving !== null) return;
    if (event.button === MIDDLE || keyboard.space || (isTouch && hasPen)) {
      moving = event.pointerId;
      last = at;
      stage.classList.add("moving");
    } else if ([0, RIGHT, PEN_END].includes(event.button)) {
      drawing = event.pointerId;
      act.begin(at, event.button !== 0);
    }
  });

  stage.addEventListener("pointermove", (event) => {
    const at = getPlace(event), isTouch = event.pointerType === "touch";
    if (isTouch && touches.has(event.pointerId)) {
      if (touches.size === 2) {
        const before = getPinch();
        touches.set(event.pointerId, at);
        const now = getPinch();
        act.move(now.x - before.x, now.y - before.y);
        act.zoom(now.spread / before.spread, now);
        return;
      }
      const before = touches.get(event.pointerId);
      touches.set(event.pointerId, at);
      if (pinched || moving === event.pointerId) {
        act.move(at.x - before.x, at.y - before.y);
        return;
      }
    }
    if (event.pointerId === drawing) {
      const parts = event.getCoalescedEvents?.() ?? [];
      for (const part of parts.length ? parts : [event]) act.extend(getPlace(part));
    } else if (event.pointerId === moving) {
      act.move(at.x - last.x, at.y - last.y);
      last = at;
    }
    act.hover(moving === null ? at : null, event.buttons === 2 || (event.buttons & 32) > 0);
  });

  const lift = (event) => {
    touches.delete(event.pointerId);
    if (touches.size === 0) pinched = false;
    if (event.pointerId === drawing) {
      if (event.type === "pointerup") act.end();
      else act.drop();
    }
    if (event.pointerId === drawing || event.pointerId === moving) stop();
    if (event.pointerType === "touch") act.hover(null);
  };
  stage.addEventListener("pointerup", lift);
  stage.addEventListener("pointercancel", lift);
  stage.addEventListener("pointerleave", () => act.hover(null));
  stage.addEventListener("contextmenu", (event) => event.preventDefault());

  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    const unit = [1, LINE, PAGE][event.deltaMode];
    const turned = (event.deltaY || event.deltaX) * unit; // with Shift some turn the wheel sideways
    if (event.shiftKey || event.altKey) act.resize(-Math.sign(turned));
    else act.zoom(Math.exp(-turned * (event.ctrlKey ? 0.01 : 0.0015)), getPlace(event)); // Ctrl: a trackpad's pinch
  }, { passive: false });
}

export function listenToKeys(stage, act, keyboard) {
  const plain = {
    b: () => act.choose("brush"), e: () => act.choose("eraser"), r: () => act.choose("box"),
    "[": () => act.resize(-1), "]": () => act.resize(1), "+": () => act.zoom(1.25), "=": () => act.zoom(1.25),
    "-": () => act.zoom(0.8), 0: act.fit, 1: act.showTrue, i: act.invert, c: act.recolour, Delete: act.clear, Backspace: act.clear,
    Escape: act.drop, "?": act.help, h: () => act.hush(true),
    ArrowLeft: () => act.move(NUDGE, 0), ArrowRight: () => act.move(-NUDGE, 0),
    ArrowUp: () => act.move(0, NUDGE), ArrowDown: () => act.move(0, -NUDGE),
  };
  const commanded = { z: act.undo, y: act.redo, s: act.save, Enter: act.save };

  addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]") || event.altKey) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const control = event.target.closest?.("button, input");
    if (key === " " && !control) {
      event.preventDefault();
      keyboard.space = true;
      stage.classList.add("grab");
      return;
    }
    let does = plain[key];
    if (event.ctrlKey || event.metaKey) does = event.shiftKey && key === "z" ? act.redo : commanded[key];
    else if (control?.matches("input") && key.startsWith("Arrow")) return; // which move the slider
    if (!does) return;
    event.preventDefault();
    does();
  });
  const release = () => {
    keyboard.space = false;
    stage.classList.remove("grab");
  };
  addEventListener("keyup", (event) => {
    if (event.key === " ") release();
    if (event.key.toLowerCase() === "h") act.hush(false);
  });
  addEventListener("blur", () => {
    release();
    act.hush(false);
  });
  document.addEventListener("click", (event) => { // a click leaves no button in Space's way
    if (event.detail > 0 && event.target.closest("footer button, header button")) document.activeElement?.blur();
  });
}
