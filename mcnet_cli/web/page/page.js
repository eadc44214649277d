// The page: portrait and driving in, film out. All that is done, the JSON API does.

import { addFile, call, send, sessionForm } from "./api.js";
import { Boxes } from "./boxes.js";
import { fromCamera, hasCamera } from "./camera.js";
import { Options } from "./options.js";
import { Posing } from "./posing.js";

const LOOK_MS = 400; // between looks at a job's progress
const at = (id) => document.getElementById(id);
const inputs = { source: null, driving: null };
let options, limits, posing, job;

function fail(id, error) {
  at(id).textContent = error?.message ?? "";
  at(id).hidden = !error;
}

function ready() {
  const missing = ["source", "driving"].filter((kind) => !inputs[kind]);
  const words = { source: "a portrait", driving: "a driving" };
  at("make").disabled = missing.length > 0 || Boolean(job);
  at("make-hint").textContent = missing.length ? `Choose ${missing.map((kind) => words[kind]).join(" and ")} first.` : "";
  at("make-hint").hidden = !missing.length;
}

// Portrait

const boxes = new Boxes(at("boxes"), () => {
  const count = boxes.found.length;
  at("boxes-reset").hidden = !boxes.isMoved || !count;
  at("all-faces-label").hidden = count < 2;
  at("all-faces").checked = boxes.all;
  const drag = "Drag the box to move it, its corner to resize it.";
  at("boxes-hint").textContent = !count
    ? `No face was found. ${drag} It should hold the whole head.`
    : count > 1 ? `${count} faces were found: click the one that moves. ${drag}` : drag;
  if (inputs.source) posing.start(inputs.source.id, boxes.options);
});

/** Shows the photo, or a picture of it that is posed, and the command line that makes it. */
function look(posed, command = "") {
  if (at("photo").src.startsWith("blob:")) URL.revokeObjectURL(at("photo").src);
  at("photo").src = posed ?? `/files/${inputs.source.id}/picture`;
  at("posing-save").hidden = !posed;
  at("posing-save").href = posed ?? "";
  at("posing-made").hidden = !posed;
  at("posing-command").textContent = command;
  fail("portrait-error");
}

at("posing-reset").addEventListener("click", () => posing.start(inputs.source.id, boxes.options));
at("posing").addEventListener("toggle", ({ target }) => { if (target.open) posing.prepare(); });
at("all-faces").addEventListener("change", (event) => { boxes.all = event.target.checked; boxes.changed(); });
at("boxes-reset").addEventListener("click", () => boxes.reset());

async function choosePortrait(file) {
  await chosen("source", "portrait", file, async (added) => {
    boxes.show(added);
    await at("photo").decode();
  });
}

// Driving

async function chooseDriving(file) {
  await chosen("driving", "driving", file, async (added) => {
    const video = at("driving-video");
    URL.revokeObjectURL(video.src);
    video.src = URL.createObjectURL(file); // the visitor's own file: the server doesn't send uploads back
    video.hidden = false;
    unpressed();
    video.onerror = () => { video.hidden = true; }; // such as a .motion file, which shows nothing
    at("driving-name").textContent = added.name;
  });
}

/** Takes a motion that comes with the program; the others stay in view. */
function chooseMotion({ name, shows, seconds }, button) {
  inputs.driving = { id: name };
  unpressed();
  button.setAttribute("aria-pressed", "true");
  at("motion-name").textContent = `${name}: ${shows} · ${seconds} s`;
  at("motion-name").hidden = false;
  fail("driving-error");
  ready();
}

function unpressed() {
  for (const tile of at("motions").children) tile.setAttribute("aria-pressed", "false");
  at("motion-name").hidden = true;
}

function tile(picture, text, title, choose) {
  const button = Object.assign(document.createElement("button"), { type: "button", title });
  button.append(Object.assign(document.createElement("img"), { src: picture, alt: "" }), text);
  button.addEventListener("click", () => choose(button));
  return button;
}

// Both

/** Sends a file and shows it, or says why it can't be used. */
async function chosen(kind, place, file, show) {
  const drop = at(`${place}-drop`);
  const words = drop.querySelector("p");
  const before = words.textContent;
  fail(`${place}-error`);
  drop.classList.add("busy");
  try {
    const added = await addFile(kind, file, (share) => { words.textContent = share < 1 ? `Sending: ${Math.round(100 * share)} %` : "Looking at it …"; });
    inputs[kind] = { ...added, example: typeof file === "string" && file };
    await show(added);
    emptied(place, false);
  } catch (error) {
    fail(`${place}-error`, error);
  }
  words.textContent = before;
  drop.classList.remove("busy");
  ready();
}

function emptied(place, isEmpty) {
  at(`${place}-chosen`).hidden = isEmpty;
  at(`${place}-drop`).hidden = !isEmpty;
  at(place === "portrait" ? "examples" : "motions").hidden = !isEmpty;
}

for (const [place, kind, choose, isRecorded] of [["portrait", "source", choosePortrait, false], ["driving", "driving", chooseDriving, true]]) {
  const drop = at(`${place}-drop`);
  at(`${place}-file`).addEventListener("change", ({ target }) => {
    if (target.files[0]) choose(target.files[0]);
    target.value = "";
  });
  at(`${place}-other`).addEventListener("click", () => { inputs[kind] = null; emptied(place, true); ready(); });
  at(place).addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  at(place).addEventListener("dragleave", () => drop.classList.remove("over"));
  at(place).addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files[0]) choose(event.dataTransfer.files[0]);
  });
  const camera = at(`${place}-camera`);
  camera.disabled = !hasCamera;
  if (!hasCamera) drop.append(Object.assign(document.createElement("p"), { className: "hint", textContent: "Browsers open the camera on this machine or by HTTPS alone." }));
  camera.addEventListener("click", async () => {
    try {
      const file = await fromCamera({ record: isRecorded, seconds: limits.seconds });
      if (file) await choose(file);
    } catch (error) {
      fail(`${place}-error`, new Error(`The camera can't be used: ${error.message}`));
    }
  });
}

document.addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files].find(({ type }) => type.startsWith("image/") || type.startsWith("video/"));
  if (file) (file.type.startsWith("video/") ? chooseDriving : choosePortrait)(file);
});

// Film

at("make").addEventListener("click", async () => {
  fail("film-error");
  at("make").disabled = true;
  try {
    const fields = { source: inputs.source.id, driving: inputs.driving.id, ...boxes.options, ...options.changed, ...posing.options };
    show(await send("/animate", await sessionForm(fields), () => {}));
    while (job) {
      await new Promise((done) => setTimeout(done, LOOK_MS));
      show(await call("GET", `/jobs/${job.id}`));
    }
  } catch (error) {
    job = null;
    at("running").hidden = true;
    fail("film-error", error);
  }
  ready();
});

at("cancel").addEventListener("click", async () => {
  at("cancel").disabled = true;
  await call("DELETE", `/jobs/${job.id}`).catch((error) => fail("film-error", error));
});

function show(now) {
  const hasEnded = !["queued", "running"].includes(now.state);
  if (!job) Object.assign(at("cancel"), { disabled: false });
  job = hasEnded ? null : now;
  at("running").hidden = hasEnded;
  at("make").hidden = !hasEnded;
  at("made").hidden = at("made").hidden || !hasEnded;
  at("progress-text").textContent = progressText(now);
  if (now.progress?.total) at("progress").value = now.progress.done / now.progress.total;
  else at("progress").removeAttribute("value");
  if (now.state === "failed") fail("film-error", { message: [now.error.message, now.error.hint].filter(Boolean).join("\n") });
  if (now.state === "cancelled") fail("film-error", { message: "Cancelled." });
  if (now.state === "done") showFilm(now);
}

function progressText({ state, place, progress }) {
  if (state === "queued") return place > 1 ? `Waiting: number ${place} in the queue` : "Waiting: next in the queue";
  if (!progress) return "Starting …";
  const { stage, done, total, unit, per_second: rate, seconds_left: left } = progress;
  const parts = [`${stage[0].toUpperCase()}${stage.slice(1)}`, total ? `${done} of ${total} ${unit}` : `${done} ${unit}`];
  if (rate) parts.push(`${rate.toFixed(1)} ${unit}/s`);
  if (left !== null) parts.push(`${Math.ceil(left)} s left`);
  return parts.join(" · ");
}

function showFilm({ film, command }) {
  const isPicture = /\.(gif|webp)$/.test(film.name);
  const screen = document.createElement(isPicture ? "img" : "video");
  if (!isPicture) Object.assign(screen, { controls: true, loop: true, playsInline: true });
  screen.onerror = () => at("screen").replaceChildren("This browser can't show such a film; download it.");
  screen.src = film.url;
  at("screen").classList.toggle("transparent", command.includes("--background transparent"));
  at("screen").replaceChildren(screen);
  if (!isPicture) screen.play().catch(() => {}); // the visitor presses play, where the browser wants that
  at("warnings").replaceChildren(...film.warnings.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  at("download").href = `${film.url}?download`;
  at("film-facts").textContent = `${film.name} · ${film.frames} frames at ${+film.rate.toFixed(3)} a second`;
  at("command").textContent = command;
  at("example-hint").hidden = !inputs.source?.example;
  at("example-save").href = `/examples/${inputs.source?.example}`;
  at("made").hidden = false;
}

for (const button of document.querySelectorAll(".command button")) {
  button.addEventListener("click", async () => {
    const command = button.parentElement.querySelector("code");
    getSelection().selectAllChildren(command);
    await navigator.clipboard?.writeText(command.textContent).catch(() => {}); // where that is forbidden, it is selected
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}

// Start

try {
  const told = await call("GET", "/options");
  limits = told.limits;
  options = new Options(told.options, told.film_kinds, at("options-at-hand"), at("options-folded"));
  posing = new Posing(told.options.filter(({ place }) => place === "sliders"), told.sliders, at("sliders"), { look, fail: (error) => fail("portrait-error", error) });
  at("examples").replaceChildren(...told.examples.map((name) => tile(`/examples/${name}`, name.split(".")[0].replace("-", ", "), name, () => choosePortrait(name))));
  at("footer").textContent = `mcnet ${told.version} · Everything stays on the machine that runs this page's server. `
    + `It takes ${limits.upload_mb} MB a file, ${limits.megapixels} megapixels and ${limits.seconds} seconds. Films are synthetic: say so where you show them.`;
  ready();
  const motions = await call("GET", "/motions"); // when the server has loaded the network
  at("motions").replaceChildren(...motions.map((motion) => tile(`/motions/${motion.name}.webp`, motion.name, motion.shows, (button) => chooseMotion(motion, button))));
} catch (error) {
  fail("film-error", error);
}
