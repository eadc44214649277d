// Elements of the page.

export const at = (id) => document.getElementById(id);

/** A new element with properties and children. */
export function element(name, properties = {}, ...children) {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
}

/** An option's name as a title. */
export const titled = (name) => name[0].toUpperCase() + name.slice(1).replaceAll("-", " ");

/** Shows what went wrong in the paragraph of that id; hides it without an error. */
export function fail(id, error) {
    at(id).textContent = error?.message ?? "";
    at(id).hidden = !error;
}
