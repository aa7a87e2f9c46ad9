/** What a page under measurement notes of itself. */

/**
 * Runs in the page: notes when something was pressed, and of each picture when it was drawn (by its stamp), when its
 * last packet came, and when it was seen. Unix time in milliseconds.
 * @param {number} most
 */
export function watch(most) {
  const state = /** @type {any} */ (window);
  state.watched = { pictures: [] };
  const press = () => (state.watched.pressed = now());
  addEventListener('submit', press, true);
  // The page's own clock starts with a rounded origin; the wall clock is read where it ticks.
  let offset = 0;
  for (let tries = 0, tick = Date.now(); tries < 20; ) {
    if (Date.now() !== tick) {
      tick = Date.now();
      offset = Math.max(offset, tries++ ? tick - performance.now() : 0);
    }
  }
  const now = () => performance.now() + offset;
  /** @param {string} step */
  const note = (step) => (state.watched[step] ??= now());
  const { setLocalDescription, setRemoteDescription } = RTCPeerConnection.prototype;
  RTCPeerConnection.prototype.setLocalDescription = /** @this {RTCPeerConnection} */ function (description) {
    if (description?.type === 'offer') {
      note('offer');
      this.addEventListener('iceconnectionstatechange', () => this.iceConnectionState === 'connected' && note('path'));
      this.addEventListener('connectionstatechange', () => this.connectionState === 'connected' && note('connected'));
    }
    return setLocalDescription.call(this, description);
  };
  RTCPeerConnection.prototype.setRemoteDescription = /** @this {RTCPeerConnection} */ function (description) {
    note('answer');
    return setRemoteDescription.call(this, description);
  };
  const media = MediaDevices.prototype.getUserMedia;
  MediaDevices.prototype.getUserMedia = /** @this {MediaDevices} */ async function (constraints) {
    const stream = await media.call(this, constraints);
    note('microphone');
    return stream;
  };
  const canvas = document.createElement('canvas');
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d', { willReadFrequently: true }));
  const known = new WeakSet();
  addEventListener('DOMContentLoaded', () => {
    new MutationObserver(() => {
      for (const video of document.querySelectorAll('.tile[data-peer] video')) follow(/** @type {any} */ (video));
    }).observe(document.body, { childList: true, subtree: true, attributes: true });
  });
  /** @param {HTMLVideoElement} video */
  function follow(video) {
    if (known.has(video)) return;
    known.add(video);
    /** @type {VideoFrameRequestCallback} */
    const next = (_, picture) => {
      const seen = now();
      state.watched.first ??= seen;
      const { videoWidth: width, videoHeight: height } = video;
      canvas.width = width;
      canvas.height = Math.max(2, Math.round((height * 32) / 720));
      context.drawImage(video, 0, 0, width, canvas.height, 0, 0, width, canvas.height);
      const row = context.getImageData(0, Math.floor(canvas.height / 2), width, 1).data;
      let bits = 0n;
      for (let i = 0; i < 64; i++) {
        bits = (bits << 1n) | BigInt(row[Math.floor(((i + 0.5) * width) / 64) * 4 + 1] > 125 ? 1 : 0);
      }
      const received = picture.receiveTime === undefined ? NaN : picture.receiveTime + offset;
      state.watched.pictures.push({ drawn: Number(bits & 0xffff_ffff_ffffn) / 10, received, seen });
      if (state.watched.pictures.length < most * 2) video.requestVideoFrameCallback(next);
    };
    video.requestVideoFrameCallback(next);
  }
}
