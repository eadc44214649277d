// The webcam: takes a photo, or records a clip.

import { at } from "./elements.js";

const dialog = at("camera");
const view = at("camera-view");
const go = at("camera-go");
const hint = at("camera-hint");

/** Whether browsers let this page use a camera: on this machine, or by HTTPS. */
export const hasCamera = Boolean(navigator.mediaDevices?.getUserMedia);

/** Opens the camera. Gives a File, or null if the dialog was closed. seconds: the longest clip. */
export async function fromCamera({ record, seconds }) {
    const stream = await navigator.mediaDevices.getUserMedia({
        video: { width: { ideal: 1280 } },
        audio: record,
    });
    go.disabled = true; // until there is a picture
    view.onloadeddata = () => {
        go.disabled = false;
    };
    view.srcObject = stream;
    go.textContent = record ? "Record" : "Take the photo";
    hint.textContent = record
        ? `Look straight at the camera first. At most ${seconds} seconds.`
        : "Look straight at the camera.";
    dialog.showModal();
    try {
        return await new Promise((resolve, reject) => {
            dialog.onclose = () => resolve(null);
            at("camera-close").onclick = () => dialog.close();
            go.onclick = () => (record ? recorded(stream, seconds) : photographed()).then(resolve, reject);
        });
    } finally {
        for (const track of stream.getTracks()) track.stop();
        view.srcObject = null;
        dialog.onclose = null;
        dialog.close();
    }
}

async function photographed() {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [view.videoWidth, view.videoHeight];
    canvas.getContext("2d").drawImage(view, 0, 0);
    const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.95));
    return new File([blob], "webcam.jpg", { type: "image/jpeg" });
}

function recorded(stream, seconds) {
    return new Promise((resolve, reject) => {
        const recorder = new MediaRecorder(stream);
        const parts = [];
        const began = Date.now();
        const clock = setInterval(() => {
            const passed = (Date.now() - began) / 1000;
            hint.textContent = `Recording: ${passed.toFixed(0)} s`;
            if (passed >= seconds) recorder.stop();
        }, 200);
        recorder.ondataavailable = (event) => parts.push(event.data);
        recorder.onerror = (event) => reject(event.error);
        recorder.onstop = () => {
            clearInterval(clock);
            const suffix = recorder.mimeType.includes("mp4") ? "mp4" : "webm";
            resolve(new File(parts, `webcam.${suffix}`, { type: recorder.mimeType }));
        };
        go.textContent = "Stop";
        go.onclick = () => recorder.stop();
        recorder.start();
    });
}
