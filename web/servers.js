/** ICE servers as the browser takes them: one that it refuses costs itself alone, not every call. */

/**
 * @param {RTCIceServer[]} servers
 * @returns {{ good: RTCIceServer[], bad: string[] }} `bad`: addresses that the browser refuses
 */
export function sift(servers) {
  if (isTaken(servers)) return { good: servers, bad: [] };
  /** @type {RTCIceServer[]} */
  const good = [];
  /** @type {string[]} */
  const bad = [];
  for (const server of servers) {
    const urls = [server.urls].flat().filter((url) => {
      const taken = isTaken([{ ...server, urls: [url] }]);
      if (!taken) bad.push(url);
      return taken;
    });
    if (urls.length > 0) good.push({ ...server, urls });
  }
  // Some browsers take each and not all of them together.
  while (good.length > 0 && !isTaken(good)) bad.push(...[good.pop()?.urls ?? []].flat());
  return { good, bad };
}

/** @param {RTCIceServer[]} iceServers */
function isTaken(iceServers) {
  try {
    new RTCPeerConnection({ iceServers }).close();
    return true;
  } catch {
    return false;
  }
}
