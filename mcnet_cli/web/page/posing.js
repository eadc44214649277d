// Sliders for pose and expression, which show their effect on the photo.

const titled = (name) => ({ gaze_x: "Gaze sideways", gaze_y: "Gaze upwards" })[name] ?? name[0].toUpperCase() + name.slice(1);

const element = (name, properties = {}) => Object.assign(document.createElement(name), properties);

export class Posing {
  /** ranges: the least, the most and the meaning of each slider. look: gets an address of a picture, or null for the photo. */
  constructor(ranges, place, look, fail) {
    this.look = look;
    this.fail = fail;
    this.sliders = Object.entries(ranges).map(([name, [min, max, help]]) => {
      const slider = element("input", { type: "range", min, max, step: (max - min) / 100, name });
      const number = element("output");
      slider.shown = () => { number.textContent = Number(slider.value).toFixed(max > 1 ? 0 : 2); };
      slider.addEventListener("input", () => { slider.shown(); this.changed(); });
      const label = element("label");
      label.append(element("span", { textContent: titled(name) }), number, slider, element("small", { textContent: help }));
      place.append(label);
      return slider;
    });
    this.reset();
  }

  reset() {
    for (const slider of this.sliders) {
      slider.value = 0;
      slider.shown();
    }
  }

  /** Another photo, or another face of it: sliders go back to 0. options: which face. */
  start(file, options) {
    this.file = file;
    this.options = options;
    this.reset();
    this.look(null);
  }

  /** Asks for a picture; while one is on its way, the next request waits, and only the newest is made. */
  async changed() {
    if (this.isAsking) {
      this.isStale = true;
      return;
    }
    this.isAsking = true;
    do {
      this.isStale = false;
      await this.ask();
    } while (this.isStale);
    this.isAsking = false;
  }

  /** Has the server encode the photo, so that the first move of a slider takes no longer than others. */
  prepare() {
    fetch(`/files/${this.file}/posed?${new URLSearchParams(this.options)}`).catch(() => {});
  }

  async ask() {
    const values = this.sliders.filter(({ value }) => Number(value) !== 0).map(({ name, value }) => [name, value]);
    const file = this.file;
    if (!values.length) return this.look(null);
    const answer = await fetch(`/files/${file}/posed?${new URLSearchParams([...values, ...Object.entries(this.options)])}`);
    if (file !== this.file) return undefined;
    if (answer.ok) return this.look(URL.createObjectURL(await answer.blob()));
    return this.fail(await answer.json().then(({ error }) => ({ message: [error.message, error.hint].filter(Boolean).join("\n") })));
  }
}
