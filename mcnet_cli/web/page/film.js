// The film: starts a job, shows its progress, and then what it has made.

import { Failed, call, send, sessionForm } from "./api.js";
import { at, element, fail } from "./elements.js";

const LOOK_MS = 400; // between looks at a job's progress

export class Film {
    /** fields: gives those of the form that asks for a film. onChange: called when a job starts or ends. */
    constructor(fields, onChange) {
        Object.assign(this, { fields, onChange, job: null, isMaking: false });
        at("cancel").addEventListener("click", () => this.cancel());
    }

    /** Has a film made, and follows the job until it ends. */
    async make() {
        fail("film-error");
        this.isMaking = true;
        this.onChange();
        try {
            this.job = await send("/animate", await sessionForm(this.fields()), () => {});
            at("cancel").disabled = false;
            this.showProgress();
            while (["queued", "running"].includes(this.job.state)) {
                await new Promise((done) => setTimeout(done, LOOK_MS));
                this.job = await call("GET", `/jobs/${this.job.id}`);
                this.showProgress();
            }
            if (this.job.state === "failed") throw new Failed(this.job.error);
            if (this.job.state === "cancelled") throw new Failed({ message: "Cancelled." });
            this.showFilm();
        } catch (error) {
            fail("film-error", error);
        } finally {
            this.isMaking = false;
            at("running").hidden = true;
            at("make").hidden = false;
            this.onChange();
        }
    }

    async cancel() {
        at("cancel").disabled = true;
        await call("DELETE", `/jobs/${this.job.id}`).catch((error) => fail("film-error", error));
    }

    showProgress() {
        at("make").hidden = true;
        at("made").hidden = true;
        at("running").hidden = false;
        at("progress-text").textContent = inWords(this.job);
        const { progress } = this.job;
        if (progress?.total) at("progress").value = progress.done / progress.total;
        else at("progress").removeAttribute("value"); // then it shows that nobody knows
    }

    showFilm() {
        const { film, command } = this.job;
        const isPicture = /\.(gif|webp)$/.test(film.name);
        const screen = element(isPicture ? "img" : "video");
        if (!isPicture) Object.assign(screen, { controls: true, loop: true, playsInline: true });
        screen.onerror = () =>
            at("screen").replaceChildren("This browser can't show such a film; download it.");
        screen.src = film.url;
        at("screen").classList.toggle("transparent", command.includes("--background transparent"));
        at("screen").replaceChildren(screen);
        if (!isPicture) screen.play().catch(() => {}); // the visitor presses play, where the browser wants that
        at("warnings").replaceChildren(...film.warnings.map((text) => element("li", { textContent: text })));
        at("download").href = `${film.url}?download`;
        const rate = Number(film.rate.toFixed(3));
        at("film-facts").textContent = `${film.name} · ${film.frames} frames at ${rate} a second`;
        at("command").textContent = command;
        at("example-hint").hidden = !this.example;
        at("example-save").href = `/examples/${this.example}`;
        at("made").hidden = false;
    }
}

function inWords({ state, place, progress }) {
    if (state === "queued")
        return place > 1 ? `Waiting: number ${place} in the queue` : "Waiting: next in the queue";
    if (!progress) return "Starting …";
    const { stage, done, total, unit, per_second: rate, seconds_left: left } = progress;
    const counts = total ? `${done} of ${total} ${unit}` : `${done} ${unit}`;
    const parts = [`${stage[0].toUpperCase()}${stage.slice(1)}`, counts];
    if (rate) parts.push(`${rate.toFixed(1)} ${unit}/s`);
    if (left !== null) parts.push(`${Math.ceil(left)} s left`);
    return parts.join(" · ");
}
