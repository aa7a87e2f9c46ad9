/**
 * The sounds of the page: a bell for who is called, the ring-back tone for who calls. Made by WebAudio, so there is
 * nothing to load. Browsers stay silent until the person has touched the page once.
 */

/** Ring-back: 425 Hz, one second in five, as ETSI TR 101 041 has it for most of Europe. */
const RING_BACK = { every: 5, notes: [{ at: 0, for: 1, pitch: 425, peak: 0.06, hold: true }] };
/** The bell: a falling third, twice. */
const BELL = {
  every: 3.2,
  notes: [
    { at: 0, for: 1.1, pitch: 880, peak: 0.22 },
    { at: 0.32, for: 1.3, pitch: 698.5, peak: 0.22 },
    { at: 1.1, for: 1.1, pitch: 880, peak: 0.18 },
    { at: 1.42, for: 1.5, pitch: 698.5, peak: 0.18 },
  ],
};

/** @typedef {'bell' | 'ringBack' | null} Tone */

export class Tones {
  /** @type {AudioContext | null} */
  #audio = null;
  /** @type {Tone} */
  #playing = null;
  /** @type {number | undefined} */
  #timer;
  /** @type {GainNode | null} Ends what sounds when the tone changes. */
  #volume = null;

  constructor() {
    // The first touch is the permission to make sounds later.
    const unlock = () => void this.#context().resume();
    for (const event of ['pointerdown', 'keydown']) addEventListener(event, unlock, { once: true, capture: true });
  }

  /**
   * Plays this tone, over and over, instead of what played before.
   * @param {Tone} tone
   */
  play(tone) {
    if (tone === this.#playing) return;
    this.#playing = tone;
    clearInterval(this.#timer);
    this.#volume?.disconnect();
    this.#volume = null;
    if (!tone) {
      navigator.vibrate?.(0);
      return;
    }
    const { every, notes } = tone === 'bell' ? BELL : RING_BACK;
    const audio = this.#context();
    const volume = (this.#volume = audio.createGain());
    volume.connect(audio.destination);
    const once = () => {
      if (tone === 'bell' && navigator.userActivation?.hasBeenActive) navigator.vibrate?.([300, 150, 300]);
      if (audio.state !== 'running') return;
      for (const note of notes) strike(audio, volume, note);
    };
    void audio.resume().then(() => this.#volume === volume && once());
    this.#timer = setInterval(once, every * 1000);
  }

  #context() {
    return (this.#audio ??= new AudioContext());
  }
}

/**
 * @param {AudioContext} audio
 * @param {AudioNode} output
 * @param {{ at: number, for: number, pitch: number, peak: number, hold?: boolean }} note
 */
function strike(audio, output, note) {
  const start = audio.currentTime + note.at;
  const source = audio.createOscillator();
  const shape = audio.createGain();
  source.frequency.value = note.pitch;
  shape.gain.setValueAtTime(0, start);
  shape.gain.linearRampToValueAtTime(note.peak, start + 0.02);
  if (note.hold) shape.gain.setValueAtTime(note.peak, start + note.for - 0.03);
  else shape.gain.exponentialRampToValueAtTime(note.peak / 100, start + note.for - 0.03);
  shape.gain.linearRampToValueAtTime(0, start + note.for);
  source.connect(shape).connect(output);
  source.start(start);
  source.stop(start + note.for);
  source.onended = () => shape.disconnect();
}
