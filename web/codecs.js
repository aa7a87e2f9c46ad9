/** What this browser can send and receive. It may change while the page is open: Firefox loads its H.264 afterwards. */

/** All codecs of this browser, to see whether they have changed. */
export function abilities() {
  return JSON.stringify(['audio', 'video'].map((kind) => capabilitiesOf(kind)));
}

/** Whether the browser can show what devices send. Where it does not tell, a call shows. */
export function hasH264() {
  const video = capabilitiesOf('video');
  return video === null || video.codecs.some((codec) => codec.mimeType.toLowerCase() === 'video/h264');
}

/** @param {string} kind */
function capabilitiesOf(kind) {
  return globalThis.RTCRtpReceiver?.getCapabilities?.(kind) ?? null;
}
