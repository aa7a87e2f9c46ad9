/** The data channel `callbox` of a call: what its two ends tell each other without the server. */

import { asReason } from './protocol.js';

const LABEL = 'callbox';

/**
 * @typedef {object} ChannelEvents
 * @property {() => void} onOpen
 * @property {(reason: import('./protocol.js').Reason) => void} onGoodbye the other side ended the call
 * @property {(devices: { microphone: boolean, camera: boolean }) => void} onMedia what the other side sends now
 */

export class Channel {
  /** @type {RTCDataChannel | null} */
  #channel = null;
  #events;

  /** @param {ChannelEvents} events */
  constructor(events) {
    this.#events = events;
  }

  get isOpen() {
    return this.#channel?.readyState === 'open';
  }

  /**
   * Takes this data channel for ours, if it is.
   * @param {RTCDataChannel} channel
   */
  take(channel) {
    if (channel.label !== LABEL) return;
    this.#channel = channel;
    const { onOpen, onGoodbye, onMedia } = this.#events;
    channel.onopen = () => {
      onOpen();
      // Who closes the connection without a word is gone as well. (A peer without data channels never opens this one.)
      channel.onclose = () => onGoodbye('hangup');
    };
    channel.onmessage = ({ data }) => {
      let message;
      try {
        message = JSON.parse(data);
      } catch {
        return;
      }
      if (message?.type === 'goodbye') onGoodbye(asReason(message.reason));
      if (message?.type === 'media') onMedia({ microphone: message.microphone === true, camera: message.camera === true });
    };
  }

  /** @param {Record<string, unknown>} message lost where the channel is not open */
  tell(message) {
    if (this.isOpen) this.#channel?.send(JSON.stringify(message));
  }

  /** Hears nothing more. */
  release() {
    if (this.#channel) this.#channel.onopen = this.#channel.onclose = this.#channel.onmessage = null;
  }
}

/** @param {RTCPeerConnection} pc */
export const makeChannel = (pc) => pc.createDataChannel(LABEL);
