// Boxes around the faces of a photo: one is picked by a click, moved by dragging it, resized by its corner.

const SVG = "http://www.w3.org/2000/svg";
const SMALLEST = 0.05; // of the photo's shorter side
const STEP = 0.01; // by which an arrow key moves

function element(name, attributes) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
}

export class Boxes {
    /** onChange is called when another face is picked, or its box is moved. */
    constructor(svg, onChange) {
        this.svg = svg;
        this.onChange = onChange;
        this.clear();
    }

    clear() {
        this.found = [];
        this.boxes = [];
        this.svg.replaceChildren();
    }

    /** Shows a photo's faces, squares [x, y, width, height] in its pixels; without any, a square to be moved. */
    show({ width, height, faces, largest }) {
        this.size = [width, height];
        this.found = faces;
        this.largest = largest;
        this.all = false;
        this.reset();
    }

    reset() {
        const [width, height] = this.size;
        const side = Math.round(0.6 * Math.min(width, height));
        this.boxes = this.found.map((box) => [...box]);
        if (!this.found.length)
            this.boxes = [[Math.round((width - side) / 2), Math.round((height - side) / 2), side, side]];
        this.picked = this.largest ?? 0;
        this.isMoved = !this.found.length;
        this.changed();
    }

    changed() {
        this.draw();
        this.onChange();
    }

    /** The options that say which face moves. */
    get options() {
        if (this.isMoved && !this.all)
            return { "source-crop": this.boxes[this.picked].map((side) => side.toFixed(1)).join(",") };
        if (this.all) return { face: "all" };
        return this.picked === this.largest ? {} : { face: String(this.picked) };
    }

    draw() {
        const [width, height] = this.size;
        this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
        const focused = this.svg.contains(document.activeElement);
        this.svg.replaceChildren(...this.boxes.map((box, number) => this.drawn(box, number)));
        if (focused) this.svg.querySelector(".picked")?.focus();
    }

    drawn([x, y, width, height], number) {
        const picked = this.all || number === this.picked;
        const group = element("g", {
            tabindex: 0,
            role: "radio",
            "aria-checked": picked,
            "aria-label": `Face ${number}`,
        });
        if (picked) group.classList.add("picked");
        group.append(element("rect", { x, y, width, height }));
        group.addEventListener("pointerdown", (event) => this.grabbed(event, number, this.moved));
        group.addEventListener("keydown", (event) => this.typed(event, number));
        if (picked && !this.all) {
            const r = 0.02 * Math.max(...this.size);
            const [right, bottom] = [
                Math.min(x + width, this.size[0] - r),
                Math.min(y + height, this.size[1] - r),
            ]; // in view
            const corner = element("circle", { cx: right, cy: bottom, r });
            corner.addEventListener("pointerdown", (event) => this.grabbed(event, number, this.resized));
            group.append(corner);
        }
        return group;
    }

    /** Follows the pointer until it is let go. change: what a shift by so many pixels of the photo does. */
    grabbed(event, number, change) {
        event.preventDefault();
        event.stopPropagation();
        if (this.all) return;
        if (number !== this.picked) this.pick(number);
        const scale = this.size[0] / this.svg.getBoundingClientRect().width;
        const [x, y] = [event.clientX, event.clientY];
        const before = this.boxes[number];
        const follow = (moved) => {
            const shift = [(moved.clientX - x) * scale, (moved.clientY - y) * scale];
            if (Math.hypot(...shift) / scale > 3) this.place(number, change.call(this, before, shift));
        };
        window.addEventListener("pointermove", follow);
        window.addEventListener("pointerup", () => window.removeEventListener("pointermove", follow), {
            once: true,
        });
    }

    typed(event, number) {
        const step = STEP * Math.max(...this.size);
        const shifts = {
            ArrowLeft: [-step, 0],
            ArrowRight: [step, 0],
            ArrowUp: [0, -step],
            ArrowDown: [0, step],
        };
        if (event.key === "Enter" || event.key === " ") this.pick(number);
        else if (shifts[event.key] && number === this.picked)
            this.place(number, this.moved(this.boxes[number], shifts[event.key]));
        else return;
        event.preventDefault();
    }

    pick(number) {
        this.boxes = this.boxes.map((box, other) => (this.found[other] ? [...this.found[other]] : box));
        this.picked = number;
        this.isMoved = !this.found.length;
        this.changed();
    }

    place(number, box) {
        this.boxes[number] = box;
        this.isMoved = true;
        this.changed();
    }

    /** The box's middle stays within the photo. */
    moved([x, y, width, height], [right, down]) {
        const within = (at, side, end) => Math.min(Math.max(at, -side / 2), end - side / 2);
        return [
            within(x + right, width, this.size[0]),
            within(y + down, height, this.size[1]),
            width,
            height,
        ];
    }

    resized([x, y, width], [right, down]) {
        const side = Math.max(width + (right + down) / 2, SMALLEST * Math.min(...this.size));
        return [x, y, side, side];
    }
}
