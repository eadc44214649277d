// Sliders for pose and expression, which show their effect on the photo.

import { explained } from "./api.js";
import { element, titled } from "./elements.js";

export class Posing {
    /** options: those that are sliders. ranges: the least and the most of each. look: gets a picture, or null. */
    constructor(options, ranges, place, { look, fail }) {
        Object.assign(this, { look, fail, sliders: new Map() });
        for (const { name, help } of options)
            place.append(this.slider(name, titled(name), ranges[name], help));
        place.append(this.slider("gaze_x", "Gaze sideways", [-1, 1], "Below 0 to the picture's left."));
        place.append(this.slider("gaze_y", "Gaze upwards", [-1, 1], "Below 0 down."));
        this.reset();
    }

    slider(name, title, [min, max], help) {
        const slider = element("input", { type: "range", min, max, step: (max - min) / 100, name });
        const number = element("output");
        slider.shown = () => {
            number.textContent = Number(slider.value).toFixed(max > 1 ? 0 : 2);
        };
        slider.addEventListener("input", () => {
            slider.shown();
            this.changed();
        });
        this.sliders.set(name, slider);
        const label = element("label");
        label.append(
            element("span", { textContent: title }),
            number,
            slider,
            element("small", { textContent: help }),
        );
        return label;
    }

    /** The options that pose as the sliders do. */
    get options() {
        const values = [...this.sliders]
            .map(([name, { value }]) => [name, Number(value)])
            .filter(([, value]) => value !== 0);
        const { gaze_x: x = 0, gaze_y: y = 0, ...others } = Object.fromEntries(values);
        return x || y ? { ...others, gaze: `${x},${y}` } : others;
    }

    reset() {
        for (const slider of this.sliders.values()) {
            slider.value = 0;
            slider.shown();
        }
    }

    /** Another photo, or another face: sliders go back to 0. face: the options that say which one moves. */
    start(file, face) {
        Object.assign(this, { file, face });
        this.reset();
        this.look(null);
    }

    /** Has the server encode the photo, so that the first move of a slider takes no longer than others. */
    prepare() {
        if (this.file) fetch(this.address({})).catch(() => {});
    }

    address(options) {
        return `/files/${this.file}/posed?${new URLSearchParams({ ...options, ...this.face })}`;
    }

    /** Asks for a picture; while one is on its way, the next request waits, and only the newest is made. */
    async changed() {
        this.isStale = true;
        if (this.isAsking) return;
        this.isAsking = true;
        try {
            while (this.isStale) {
                this.isStale = false;
                await this.ask();
            }
        } catch (error) {
            this.fail(error);
        } finally {
            this.isAsking = false;
        }
    }

    async ask() {
        const { file, options } = this;
        if (!Object.keys(options).length) return this.look(null);
        const answer = await fetch(this.address(options));
        if (!answer.ok) throw await explained(answer);
        const picture = await answer.blob();
        if (file === this.file)
            this.look(URL.createObjectURL(picture), decodeURIComponent(answer.headers.get("Mcnet-Command")));
        return undefined;
    }
}
