// The server's JSON API, and this page's session there.

/** What the server says is wrong, and what to do about it. */
export class Failed extends Error {
    constructor({ message, hint }, status = 0) {
        super(hint ? `${message}\n${hint}` : message);
        this.status = status;
    }
}

const UNREACHABLE = { message: "The server doesn't answer.", hint: "Is mcnet web still running?" };

/** Calls the API; the answer's JSON, or null if it has none. Throws Failed. */
export async function call(method, address, body) {
    let answer;
    try {
        answer = await fetch(address, { method, body });
    } catch {
        throw new Failed(UNREACHABLE);
    }
    if (!answer.ok) throw await explained(answer);
    return answer.status === 204 ? null : answer.json();
}

/** What an answer says that is none. */
export async function explained(answer) {
    const json = await answer.json().catch(() => null);
    return new Failed(json?.error ?? { message: `The server answers with ${answer.status}.` }, answer.status);
}

/** Sends a form and tells the share of it that has arrived. Throws Failed. */
export function send(address, form, onShare) {
    return new Promise((resolve, reject) => {
        const request = new XMLHttpRequest();
        request.open("POST", address);
        request.responseType = "json";
        request.upload.onprogress = (event) => event.lengthComputable && onShare(event.loaded / event.total);
        request.onerror = () => reject(new Failed(UNREACHABLE));
        request.onload = () =>
            request.status < 300
                ? resolve(request.response)
                : reject(new Failed(request.response?.error ?? UNREACHABLE, request.status));
        request.send(form);
    });
}

const KEEP_MS = 60_000; // the server forgets sessions that it doesn't hear of for minutes
let session;

/** A form with the session's id in it. The session is opened by the first one. */
export async function sessionForm(fields) {
    session ??= call("POST", "/sessions").catch((error) => {
        session = undefined;
        throw error;
    });
    const form = new FormData();
    form.append("session", (await session).id);
    for (const [name, value] of Object.entries(fields)) form.append(name, value);
    return form;
}

setInterval(async () => {
    if (session) call("PUT", `/sessions/${(await session).id}`).catch(() => {});
}, KEEP_MS);

/** Adds a File, or an example by its name, to the session: its id and name, and of photos size and faces. */
export async function addFile(kind, file, onShare = () => {}) {
    const form = await sessionForm({ kind, [file instanceof Blob ? "file" : "example"]: file });
    try {
        return await send("/files", form, onShare);
    } catch (error) {
        if (error.status === 404) session = undefined; // it has expired; the next try opens another one
        throw error;
    }
}
