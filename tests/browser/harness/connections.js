/** The page's peer connections: keeping hold of them, forcing them through a relay, reading which way media comes. */

/**
 * For `openPage`'s `init`: keeps the page's connections where `waysOfMedia` finds them.
 * @param {{ policy?: RTCIceTransportPolicy }} options `policy`: put into every connection's configuration
 */
export function keepConnections({ policy }) {
  const connections = /** @type {any} */ (window).connections = /** @type {RTCPeerConnection[]} */ ([]);
  const Original = RTCPeerConnection;
  window.RTCPeerConnection = class extends Original {
    /** @param {RTCConfiguration} [configuration] */
    constructor(configuration) {
      super(policy ? { ...configuration, iceTransportPolicy: policy } : configuration);
      connections.push(this);
    }
  };
}

/**
 * Which ways media comes to the page's connections: the kinds of both candidates (host, srflx, prflx or relay) of each
 * pair that brought bytes. The pair that this side has selected need not be among them: each side chooses for itself
 * what it sends by.
 * @param {import('playwright-core').Page} page
 * @returns {Promise<{ local: string, remote: string }[]>}
 */
export function waysOfMedia(page) {
  return page.evaluate(async () => {
    /** @type {{ local: string, remote: string }[]} */
    const ways = [];
    /** @type {RTCPeerConnection[]} */
    const connections = /** @type {any} */ (window).connections;
    for (const connection of connections) {
      const report = await connection.getStats();
      const kind = (/** @type {string} */ id) => report.get(id).candidateType;
      report.forEach((entry) => {
        if (entry.type !== 'candidate-pair' || !(entry.bytesReceived > 0)) return;
        ways.push({ local: kind(entry.localCandidateId), remote: kind(entry.remoteCandidateId) });
      });
    }
    return ways;
  });
}

/**
 * For `openPage`'s `init`: keeps the page's connections in `window.made`. While `window.without` is set, the browser lacks
 * H.264.
 * @param {{ without: boolean, only?: boolean }} options `only`: it has H.264 and no other codec
 */
export function watchConnections({ without, only }) {
  const page = /** @type {any} */ (window);
  page.without = without;
  page.made = [];
  const real = RTCRtpReceiver.getCapabilities.bind(RTCRtpReceiver);
  const can = (/** @type {string} */ kind) => {
    const all = real(kind);
    if (!all || kind !== 'video' || (!page.without && !only)) return all;
    return { ...all, codecs: all.codecs.filter((codec) => (codec.mimeType.toLowerCase() === 'video/h264') !== page.without) };
  };
  RTCRtpReceiver.getCapabilities = can;
  const Real = RTCPeerConnection;
  window.RTCPeerConnection = class extends Real {
    constructor(/** @type {any[]} */ ...rest) {
      super(...rest);
      page.made.push(this);
    }

    addTransceiver(/** @type {any} */ kind, /** @type {any} */ options) {
      const transceiver = super.addTransceiver(kind, options);
      if (kind === 'video') transceiver.setCodecPreferences(can('video')?.codecs ?? []);
      return transceiver;
    }

    async setRemoteDescription(/** @type {any} */ description) {
      await super.setRemoteDescription(description);
      if (description.type !== 'offer') return;
      for (const transceiver of this.getTransceivers()) {
        if (transceiver.receiver.track.kind === 'video') transceiver.setCodecPreferences(can('video')?.codecs ?? []);
      }
    }
  };
}
