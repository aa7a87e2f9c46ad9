/**
 * A connection that is ready to call: its offer is written before anybody presses Call, so that pressing only sends it.
 * Until then it holds no device, opens no socket and gathers no address.
 */

/**
 * @typedef {object} Ready
 * @property {RTCPeerConnection} pc
 * @property {MediaStream} local groups our tracks for the other side, so that lips and voice stay together
 * @property {RTCRtpTransceiver} audio
 * @property {RTCRtpTransceiver} video
 * @property {RTCDataChannel} channel
 * @property {Promise<RTCSessionDescriptionInit>} offer
 * @property {RTCSessionDescriptionInit | null} written the offer, once it is
 */

/**
 * @param {RTCConfiguration} configuration
 * @param {import('./protocol.js').Kind} kind a device has no screen, so it is offered no picture
 * @returns {Ready}
 */
export function makeReady(configuration, kind) {
  const pc = new RTCPeerConnection(configuration);
  const local = new MediaStream();
  const audio = pc.addTransceiver('audio', { direction: 'sendrecv', streams: [local] });
  const video = pc.addTransceiver('video', { direction: kind === 'device' ? 'recvonly' : 'sendrecv', streams: [local] });
  const channel = pc.createDataChannel('callbox');
  /** @type {Ready} */
  const ready = { pc, local, audio, video, channel, offer: pc.createOffer(), written: null };
  // Whoever takes it sees a failure as well.
  ready.offer.then((offer) => (ready.written = offer), () => {});
  return ready;
}
