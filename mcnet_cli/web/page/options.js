// The options of mcnet animate as inputs, with the words of its --help. What is left as it is isn't sent.

import { element, titled } from "./elements.js";

const COLOUR = "#20a060";

/** An option's element, and a function that tells its value: undefined for the default. */
function made(option) {
    const help = element("small", { textContent: option.help });
    if (option.kind === "flag") {
        const box = element("input", {
            type: "checkbox",
            name: option.name,
            checked: option.default === "true",
        });
        const label = element("label", { className: "check" }, box, titled(option.name));
        return [element("div", { className: "option" }, label, help), () => String(box.checked)];
    }
    if (option.kind === "several") return several(option, help);
    if (option.kind === "file") return file(option, help);
    const words = option.metavar.split("|").filter((word) => word === word.toLowerCase() && word);
    const label = element("label", { textContent: titled(option.name), htmlFor: `option-${option.name}` });
    const [input, value] = words.length ? choice(option, words) : typed(option);
    input.id = `option-${option.name}`;
    const row = element("div", { className: "row" }, input, ...(value.extras ?? []));
    return [element("div", { className: "option" }, label, row, help), value];
}

/** A list of words of which any number may be chosen; a click on the default's word chooses it alone. */
function several(option, help) {
    const boxes = option.choices.map((word) =>
        element("input", {
            type: "checkbox",
            name: option.name,
            value: word,
            checked: word === option.default,
        }),
    );
    const group = element(
        "div",
        { className: "option", role: "group", ariaLabel: titled(option.name) },
        element("strong", { textContent: titled(option.name) }),
    );
    const row = element("div", { className: "words" });
    for (const box of boxes) {
        box.addEventListener("change", () => {
            const isDefault = box.value === option.default;
            for (const other of boxes)
                if (isDefault ? other !== box : other.value === option.default) other.checked = false;
            if (!boxes.some(({ checked }) => checked))
                boxes.find(({ value }) => value === option.default).checked = true;
        });
        row.append(element("label", { className: "check" }, box, box.value));
    }
    group.append(row, help);
    return [
        group,
        () =>
            boxes
                .filter(({ checked }) => checked)
                .map(({ value }) => value)
                .join(","),
    ];
}

function file(option, help) {
    const input = element("input", { type: "file", id: `option-${option.name}`, accept: "audio/*,video/*" });
    const label = element("label", { textContent: titled(option.name), htmlFor: input.id });
    return [element("div", { className: "option" }, label, input, help), () => input.files[0]];
}

function typed(option) {
    const input = element("input", {
        name: option.name,
        placeholder: option.default ?? "by default",
        autocomplete: "off",
    });
    if (option.kind === "number") Object.assign(input, { type: "number", step: "any", min: 0 });
    return [input, () => input.value.trim()];
}

/** A list of words; what else an option may be (a colour, a picture, another text) gets an input beside it. */
function choice(option, words) {
    const others = option.metavar.split("|").filter((word) => word !== word.toLowerCase());
    const select = element("select", { name: option.name });
    if (option.default === null) select.append(new Option("by default", ""));
    for (const word of words) select.append(new Option(word, word, false, word === option.default));
    const inputs = others.map((other) => {
        select.append(new Option({ COLOUR: "a colour", FILE: "a picture" }[other] ?? "other", other));
        if (other === "COLOUR") return element("input", { type: "color", value: COLOUR, hidden: true });
        if (other === "FILE") return element("input", { type: "file", accept: "image/*", hidden: true });
        return element("input", { placeholder: other, hidden: true, autocomplete: "off" });
    });
    const show = () =>
        inputs.forEach((input, number) => {
            input.hidden = select.value !== others[number];
        });
    select.addEventListener("change", show);
    const value = () => {
        const input = inputs[others.indexOf(select.value)];
        return input === undefined ? select.value : input.type === "file" ? input.files[0] : input.value;
    };
    value.extras = inputs;
    return [select, value];
}

export class Options {
    /** Shows the options that the server has described. */
    constructor(described, kinds, atHand, folded) {
        this.values = new Map();
        for (const option of described.filter(({ place }) => ["at hand", "folded"].includes(place))) {
            const [shown, value] = made(option);
            (option.place === "at hand" ? atHand : folded).append(shown);
            this.values.set(option.name, { value, standard: option.default });
        }
        const film = {
            name: "format",
            kind: "choice",
            metavar: kinds.map((kind) => kind.slice(1)).join("|"),
            default: "mp4",
            help: "The film's kind of file. webm, mov and webp can be transparent; gif and webp have no sound.",
        };
        const [shown, value] = made(film);
        folded.prepend(shown);
        this.values.set("format", { value, standard: "mp4" });
        atHand.querySelector("[name=background]")?.addEventListener("change", ({ target }) => {
            const format = shown.querySelector("select");
            if (target.value === "transparent" && !["webm", "mov", "webp"].includes(format.value))
                format.value = "webm";
        });
    }

    /** What differs from the defaults, by name; texts, and a File for a background's picture. */
    get changed() {
        const found = {};
        for (const [name, { value, standard }] of this.values) {
            const now = value();
            if (now !== undefined && now !== "" && now !== standard) found[name] = now;
        }
        return found;
    }
}
