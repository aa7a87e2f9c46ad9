/**
 * The microphone and the camera of this browser. Both are opened with the first call and closed with the last: a page
 * that waits holds no device, so the browser's recording light tells the truth. What cannot be opened is left out, with
 * a reason in words that a person can act on; calls go on without it.
 */

/**
 * Why a device is not available. `insecure`: browsers give devices to https pages only. `denied`: the person or the
 * browser said no. `deniedBySystem`: the operating system said no. `missing`: there is none. `busy`: another program
 * holds it. `lost`: it was unplugged or taken away. `failed`: anything else.
 * @typedef {'insecure' | 'denied' | 'deniedBySystem' | 'missing' | 'busy' | 'lost' | 'failed'} Problem
 *
 * @typedef {'microphone' | 'camera'} Device
 *
 * @typedef {object} MediaEvents
 * @property {() => void} onChange a track came or went, or was muted
 * @property {(device: Device, problem: Problem) => void} onProblem
 */

/** @type {MediaTrackConstraints} */
const VOICE = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
/** @type {MediaTrackConstraints} */
const PICTURE = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };

export class Media {
  /** @type {MediaStreamTrack | null} */
  microphone = null;
  /** @type {MediaStreamTrack | null} null while the camera is off */
  camera = null;
  /** Whether the person silenced the microphone. */
  muted = false;
  /** How many cameras there are to switch between; known once one has been opened. */
  cameras = 0;

  /** Which way the camera looks. @type {'user' | 'environment'} */
  #facing = 'user';
  /** Grows with each `close`: what was asked for before it and arrives later is closed at once. */
  #epoch = 0;
  /** What is being asked for now, so that nothing is asked for twice. @type {Set<Device>} */
  #pending = new Set();
  #events;

  /** @param {MediaEvents} events */
  constructor(events) {
    this.#events = events;
  }

  /** Whether the camera shows the person, so that a preview should be mirrored. */
  get mirrored() {
    return this.camera !== null && this.camera.getSettings().facingMode !== 'environment';
  }

  /**
   * Opens what is wanted, if it is not open. Never throws: `onProblem` tells what is missing.
   * @param {{ microphone: boolean, camera: boolean }} wanted
   */
  async open(wanted) {
    const microphone = wanted.microphone && !this.microphone && !this.#pending.has('microphone');
    const camera = wanted.camera && !this.camera && !this.#pending.has('camera');
    const epoch = this.#epoch;
    const together = microphone && camera && !(await isGranted('microphone', 'camera'));
    if (epoch !== this.#epoch) return;
    if (together) {
      // One question to the person instead of two.
      await this.#ask(['microphone', 'camera']);
    } else {
      // The microphone opens much faster than a camera does: neither waits for the other.
      await Promise.all([microphone && this.#ask(['microphone']), camera && this.#ask(['camera'])]);
    }
  }

  /** Closes everything. */
  close() {
    this.#epoch++;
    this.#pending.clear();
    this.muted = false;
    stop(this.microphone);
    stop(this.camera);
    this.microphone = this.camera = null;
    this.#events.onChange();
  }

  /** Silences the microphone or lets it speak; opens it first where it could not be opened before. */
  async toggleMicrophone() {
    if (this.#pending.has('microphone')) return;
    if (!this.microphone) return this.#ask(['microphone']);
    this.muted = !this.muted;
    this.microphone.enabled = !this.muted;
    this.#events.onChange();
  }

  /** Turns the camera on or off; off closes it, and its light goes out. */
  async toggleCamera() {
    if (this.#pending.has('camera')) return;
    if (!this.camera) return this.#ask(['camera']);
    stop(this.camera);
    this.camera = null;
    this.#events.onChange();
  }

  /** Changes between the cameras: front and back on a phone, the next one elsewhere. */
  async switchCamera() {
    const settings = this.camera?.getSettings();
    if (!settings) return;
    this.#facing = this.#facing === 'user' ? 'environment' : 'user';
    const others = await list();
    const next = others[(others.findIndex((each) => each.deviceId === settings.deviceId) + 1) % others.length];
    // Phones often cannot open one camera while another is open.
    stop(this.camera);
    this.camera = null;
    await this.#ask(['camera'], settings.facingMode ? {} : { deviceId: { ideal: next?.deviceId } });
  }

  /**
   * @param {Device[]} devices
   * @param {MediaTrackConstraints} [choice]
   */
  async #ask(devices, choice = {}) {
    const epoch = this.#epoch;
    for (const device of devices) this.#pending.add(device);
    try {
      if (!navigator.mediaDevices) throw 'insecure';
      const stream = await navigator.mediaDevices.getUserMedia({
        audio: devices.includes('microphone') && VOICE,
        video: devices.includes('camera') && { ...PICTURE, facingMode: this.#facing, ...choice },
      });
      if (epoch !== this.#epoch) return stream.getTracks().forEach(stop);
      await this.#take(stream);
    } catch (error) {
      if (epoch !== this.#epoch) return;
      const [device, other] = devices;
      if (device && !other) return this.#events.onProblem(device, problemOf(error));
      // One of the two is to blame; the other may still work. A person who said no is not asked again.
      const retry = problemOf(error).startsWith('denied') ? await granted(devices) : devices;
      for (const each of devices) if (!retry.includes(each)) this.#events.onProblem(each, problemOf(error));
      for (const each of retry) await this.#ask([each]);
    } finally {
      if (epoch === this.#epoch) for (const device of devices) this.#pending.delete(device);
    }
  }

  /** @param {MediaStream} stream */
  async #take(stream) {
    for (const track of stream.getTracks()) {
      /** @type {Device} */
      const device = track.kind === 'audio' ? 'microphone' : 'camera';
      stop(this[device]);
      this[device] = track;
      if (device === 'microphone') track.enabled = !this.muted;
      track.onended = () => this.#lost(device);
    }
    if (this.camera && this.cameras === 0) this.cameras = (await list()).length;
    this.#events.onChange();
  }

  /** @param {Device} device */
  #lost(device) {
    this[device] = null;
    this.#events.onChange();
    this.#events.onProblem(device, 'lost');
  }
}

/** @param {MediaStreamTrack | null} track */
function stop(track) {
  if (!track) return;
  track.onended = null;
  track.stop();
}

async function list() {
  return (await navigator.mediaDevices.enumerateDevices()).filter((device) => device.kind === 'videoinput');
}

/**
 * Those of the devices that the browser hands out without a question.
 * @param {Device[]} devices
 */
async function granted(devices) {
  const answers = await Promise.all(devices.map((device) => isGranted(device)));
  return devices.filter((_, i) => answers[i]);
}

/** @param {Device[]} devices */
async function isGranted(...devices) {
  try {
    const answers = await Promise.all(devices.map((name) => navigator.permissions.query({ name })));
    return answers.every((answer) => answer.state === 'granted');
  } catch {
    // Some browsers do not tell; then asking is the way to know.
    return false;
  }
}

/**
 * @param {unknown} error
 * @returns {Problem}
 */
function problemOf(error) {
  if (error === 'insecure') return 'insecure';
  if (!(error instanceof DOMException)) return 'failed';
  switch (error.name) {
    case 'NotAllowedError':
      return /system/i.test(error.message) ? 'deniedBySystem' : 'denied';
    case 'SecurityError':
      return 'denied';
    case 'NotFoundError':
    case 'OverconstrainedError':
      return 'missing';
    case 'NotReadableError':
    case 'AbortError':
      return 'busy';
    default:
      return 'failed';
  }
}
