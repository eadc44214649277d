// The page: portrait and driving in, film out. All that is done, the JSON API does.

import { addFile, call } from "./api.js";
import { Boxes } from "./boxes.js";
import { fromCamera, hasCamera } from "./camera.js";
import { at, element, fail } from "./elements.js";
import { Film } from "./film.js";
import { Options } from "./options.js";
import { Posing } from "./posing.js";

const inputs = { source: null, driving: null };
let options, limits, posing;

function ready() {
    const missing = ["source", "driving"].filter((kind) => !inputs[kind]);
    const words = { source: "a portrait", driving: "a driving" };
    at("make").disabled = missing.length > 0 || film.isMaking;
    at("make-hint").textContent = missing.length
        ? `Choose ${missing.map((kind) => words[kind]).join(" and ")} first.`
        : "";
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
        : count > 1
          ? `${count} faces were found: click the one that moves. ${drag}`
          : drag;
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
at("posing").addEventListener("toggle", ({ target }) => {
    if (target.open) posing.prepare();
});
at("all-faces").addEventListener("change", (event) => {
    boxes.all = event.target.checked;
    boxes.changed();
});
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
        video.onerror = () => {
            video.hidden = true;
        }; // such as a .motion file, which shows nothing
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
    const button = element(
        "button",
        { type: "button", title },
        element("img", { src: picture, alt: "" }),
        text,
    );
    button.addEventListener("click", () => choose(button));
    return button;
}

// Portrait and driving alike

/** Sends a file and shows it, or says why it can't be used. */
async function chosen(kind, place, file, show) {
    const drop = at(`${place}-drop`);
    const words = drop.querySelector("p");
    const before = words.textContent;
    fail(`${place}-error`);
    drop.classList.add("busy");
    try {
        const added = await addFile(kind, file, (share) => {
            words.textContent = share < 1 ? `Sending: ${Math.round(100 * share)} %` : "Looking at it …";
        });
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

for (const [place, kind, choose, isRecorded] of [
    ["portrait", "source", choosePortrait, false],
    ["driving", "driving", chooseDriving, true],
]) {
    const drop = at(`${place}-drop`);
    at(`${place}-file`).addEventListener("change", ({ target }) => {
        if (target.files[0]) choose(target.files[0]);
        target.value = "";
    });
    at(`${place}-other`).addEventListener("click", () => {
        inputs[kind] = null;
        emptied(place, true);
        ready();
    });
    at(place).addEventListener("dragover", (event) => {
        event.preventDefault();
        drop.classList.add("over");
    });
    at(place).addEventListener("dragleave", () => drop.classList.remove("over"));
    at(place).addEventListener("drop", (event) => {
        event.preventDefault();
        drop.classList.remove("over");
        if (event.dataTransfer.files[0]) choose(event.dataTransfer.files[0]);
    });
    const camera = at(`${place}-camera`);
    camera.disabled = !hasCamera;
    if (!hasCamera) {
        const why = "Browsers open the camera on this machine or by HTTPS alone.";
        drop.append(element("p", { className: "hint", textContent: why }));
    }
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
    const file = [...event.clipboardData.files].find(
        ({ type }) => type.startsWith("image/") || type.startsWith("video/"),
    );
    if (file) (file.type.startsWith("video/") ? chooseDriving : choosePortrait)(file);
});

// Film

const film = new Film(
    () => ({
        source: inputs.source.id,
        driving: inputs.driving.id,
        ...boxes.options,
        ...options.changed,
        ...posing.options,
    }),
    ready,
);

at("make").addEventListener("click", () => {
    film.example = inputs.source.example;
    film.make();
});

for (const button of document.querySelectorAll(".command button")) {
    button.addEventListener("click", async () => {
        const command = button.parentElement.querySelector("code");
        getSelection().selectAllChildren(command);
        await navigator.clipboard?.writeText(command.textContent).catch(() => {}); // else it is selected
        button.textContent = "Copied";
        setTimeout(() => {
            button.textContent = "Copy";
        }, 1500);
    });
}

// Start

try {
    const told = await call("GET", "/options");
    limits = told.limits;
    options = new Options(told.options, told.film_kinds, at("options-at-hand"), at("options-folded"));
    posing = new Posing(
        told.options.filter(({ place }) => place === "sliders"),
        told.sliders,
        at("sliders"),
        { look, fail: (error) => fail("portrait-error", error) },
    );
    at("examples").replaceChildren(
        ...told.examples.map((name) =>
            tile(`/examples/${name}`, name.split(".")[0].replace("-", ", "), name, () =>
                choosePortrait(name),
            ),
        ),
    );
    at("footer").textContent =
        `mcnet ${told.version} · Everything stays on the machine that runs this page's server. ` +
        `It takes ${limits.upload_mb} MB a file, ${limits.megapixels} megapixels and ${limits.seconds} seconds. ` +
        "Films are synthetic: say so where you show them.";
    ready();
    const motions = await call("GET", "/motions"); // when the server has loaded the network
    at("motions").replaceChildren(
        ...motions.map((motion) =>
            tile(`/motions/${motion.name}.webp`, motion.name, motion.shows, (button) =>
                chooseMotion(motion, button),
            ),
        ),
    );
} catch (error) {
    fail("film-error", error);
}
