/**
 * The page: joins the parts together. Signaling brings messages, `calls` works on them, `media` has the devices, and
 * lobby, stage and the ringing screen show it all.
 *
 * For tests and for people who look for a fault, `window.callbox` tells the state; it changes nothing.
 */

import { may, mayCallSomebody, Refused, tellKey } from './access.js';
import { Account } from './account.js';
import { Alarm } from './alarm.js';
import { Calls } from './calls.js';
import { Gate } from './gate.js';
import { Household } from './household.js';
import { forgetKeys, loadIdentity, renewKey } from './identity.js';
import { Incoming } from './incoming.js';
import { Inviting } from './invite.js';
import { Lobby } from './lobby.js';
import { Media } from './media.js';
import { dismiss, notify, showBanner, speak } from './notices.js';
import { element, fillTexts } from './page.js';
import { cleanId } from './protocol.js';
import { sift } from './servers.js';
import { Signaling } from './signaling.js';
import { Stage } from './stage.js';
import { banners, connection, ending, hints, incomingFrom, problems, refused, states, trust, visitor as words } from './text.js';
import { Tones } from './tones.js';
import { Visitor } from './visitor.js';
import { Visits } from './visits.js';

const NAME_KEY = 'callbox.name';
/** After what pause the server is asked again who we are, in milliseconds. */
const ASK_AGAIN = 500;

fillTexts();

const tones = new Tones();

const media = new Media({
  onChange() {
    if (media.microphone) dismiss('microphone.');
    if (media.camera) dismiss('camera.');
    calls.useMedia();
    render();
  },
  onProblem(device, problem) {
    notify(`${device}.${problem}`, problems[device][problem], { stays: true });
    render();
  },
});

const signaling = new Signaling(signalingUrl(), {
  onState(state, trouble) {
    element('connection').dataset.state = state;
    element('connection').textContent = connection[state];
    if (state === 'online') {
      // What `joined` brings arrives right after; a plain relay brings nothing.
      if (!signaling.listing) lobby.setPeers(null);
      calls.resume();
    }
    render();
    if (state !== 'reconnecting') showBanner(null);
    else if (trouble) showBanner(banners[trouble]);
    else showBanner(calls.all().length > 0 ? banners.reconnectingInCall : banners.reconnecting);
  },
  onMessage(message) {
    switch (message.type) {
      case 'joined':
        useServers(message.iceServers);
        return lobby.setPeers(message.peers);
      case 'presence':
        return message.online ? changePresence([message.peer], []) : changePresence([], [message.peer.userId]);
      case 'peers':
        return changePresence(message.online, message.offline);
      case 'pong':
        return;
      case 'visit':
        return visits.hear(message);
      default:
        return calls.handle(message);
    }
  },
  onRefused(why) {
    if (why === 'uninvited' || why === 'changed') return void setTimeout(() => gate.open(), ASK_AGAIN);
    if (why === 'ended') return expel(new Refused('ended', ''));
    lobby.askName(signaling.userId, refused[why]);
  },
});

/** What we can show of ourselves in calls. @type {import('./identity.js').Identity | null} */
let identity = null;

const calls = new Calls({
  userId: () => signaling.userId,
  identity: () => identity,
  send: (message) => signaling.send(message),
  // Another call may have the microphone open, for somebody whom we may talk to.
  media: (peer) => ({ microphone: may(account.standing, 'talk', peer) ? media.microphone : null, camera: media.camera, muted: media.muted }),
  known: (userId) => lobby.known(userId),
  onChange: () => render(),
  onEnd(call, reason, ours) {
    if (reason === 'unverified') alarm.open(call.peer.name);
    else if (!ours && !call.looks) {
      notify(`ended.${reason}`, ending(reason, call.peer.name, { outgoing: call.outgoing, talked: call.since !== null }));
    }
    if (calls.all().length === 0) media.close();
    render();
  },
});

const lobby = new Lobby({
  onName(name) {
    remember(name);
    join(name);
  },
  onCall: (peer) => start(peer),
  mayCall: (peer) => may(account.standing, 'view', peer) || may(account.standing, 'talk', peer),
  mayCallSomebody: () => mayCallSomebody(account.standing),
  onDial(userId) {
    if (userId === signaling.userId) return lobby.showDialError(hints.ownId);
    start(lobby.known(userId) ?? { userId, name: userId, kind: 'person' });
  },
});

const stage = new Stage({
  onMicrophone: () => void media.toggleMicrophone(),
  onCamera: () => void media.toggleCamera(),
  onSwitchCamera: () => void media.switchCamera(),
  onLeave: () => calls.all().filter((call) => call.state !== 'incoming').forEach((call) => call.end('hangup')),
  onHangUp: (call) => call.end('hangup'),
  may: (right, peer) => may(account.standing, right, peer),
  onTrust: (call) => notify('trust', call.verified ? trust.verified(call.peer.name) : trust.unverified(call.peer.name)),
});

const incoming = new Incoming({
  onAnswer(call, camera) {
    call.accept();
    void media.open({ microphone: may(account.standing, 'talk', call.peer), camera });
  },
  onDecline: (call) => call.end('declined'),
});

const visits = new Visits({
  send: (message) => signaling.send(message),
  me: () => ({ userId: signaling.userId, name: account.standing?.name ?? signaling.userId }),
  known: (userId) => lobby.known(userId),
  onChange: () => render(),
  onRing({ device, id }) {
    // With who is there before one's eyes it is known whether to answer. Whoever looks at nothing calls when they answer.
    if (may(account.standing, 'view', device)) calls.start(device, { id, does: 'looks' });
  },
  onAgreed: ({ device }) => dismiss(`visit.${device.userId}`),
  onOver({ device, answered }, how) {
    const call = calls.with(device.userId);
    if (call?.looks || (answered !== null && call?.visit)) call.end('hangup');
    const said = tellVisit(device.name, answered !== null, how);
    if (said) notify(`visit.${device.userId}`, said);
  },
});

/**
 * @param {string} door
 * @param {boolean} answered whether we wanted to talk
 * @param {import('./protocol.js').Visit | null} how
 */
function tellVisit(door, answered, how) {
  if (how?.by && how.by.userId !== signaling.userId) return words.answeredBy(how.by.name, door);
  if (answered) return how ? words.late(door) : words.notThrough(door);
  if (how?.state === 'unanswered') return words.missed(door);
  return how?.state === 'cancelled' ? words.gone(door) : null;
}

const visitor = new Visitor({
  onAnswer(ring) {
    dismiss('ended.');
    visits.answer(ring);
    const call = calls.with(ring.device.userId);
    if (call) call.speakUp();
    else calls.start(ring.device, { id: ring.id, does: 'answers' });
    void media.open({ microphone: may(account.standing, 'talk', ring.device), camera: false });
  },
  onDecline: (ring) => visits.decline(ring),
});

const account = new Account({ onLeft: () => expel(null), onHousehold: () => void house.open() });
const house = new Household((name) => inviting.open(name));
const inviting = new Inviting({ devices: () => lobby.devices(), onInvited: () => void house.refresh() });
const gate = new Gate((standing) => void enter(standing));
const alarm = new Alarm();

element('me').onclick = () => {
  if (account.standing) return account.open();
  if (calls.all().length > 0) return;
  signaling.leave();
  lobby.askName(signaling.userId);
};

addEventListener('pagehide', () => signaling.leave());
// A page that the browser kept whole and shows again has lost its connection.
addEventListener('pageshow', (event) => event.persisted && location.reload());

function begin() {
  if (!('RTCPeerConnection' in window)) return showBanner(hints.unsupported);
  void gate.open();
}

/**
 * Whoever was invited is known by that name; where everybody may come in, each chooses one.
 * @param {import('./access.js').Standing | null} standing
 */
async function enter(standing) {
  if (standing) standing = (await renewKey(standing.key ?? null, tellKey).catch(warnOfKey)) ?? standing;
  identity = await loadIdentity(standing?.userId ?? '', standing?.vouch);
  // A server that no longer vouches for anybody could be anybody's.
  if (identity?.canCheck && !identity.vouch && confirm(trust.forget)) {
    await forgetKeys();
    identity = null;
  }
  account.use(standing);
  const name = standing ? standing.userId : cleanId(recall());
  if (name) join(name, standing?.name);
  else lobby.askName('');
}

/** @param {unknown} error */
function warnOfKey(error) {
  console.warn('callbox: this browser has no key that the server knows:', error);
  return null;
}

/**
 * We may not be here, or not any more.
 * @param {Refused | null} why
 */
function expel(why) {
  visits.endAll();
  calls.endAll('hangup');
  signaling.leave();
  account.use(null);
  for (const sheet of [account, house, inviting]) sheet.close();
  lobby.hide();
  gate.shut(why);
}

/**
 * @param {string} userId
 * @param {string} [name] how others see us, if not by the ID
 */
function join(userId, name = userId) {
  signaling.join(userId);
  const known = account.standing !== null;
  lobby.show(name, { known, keyless: known && !identity?.vouch });
}

/** @param {RTCIceServer[]} servers the server's */
function useServers(servers) {
  const { good, bad } = sift(servers);
  if (bad.length > 0) notify('iceServers', hints.badServers(bad));
  calls.useServers(good);
}

/**
 * @param {import('./protocol.js').Peer[]} online
 * @param {string[]} offline
 */
function changePresence(online, offline) {
  lobby.setPresence(online, offline);
  for (const { userId } of online) calls.peerIsBack(userId);
}

/** @param {import('./protocol.js').Peer} peer */
function start(peer) {
  if (calls.all().some((call) => call.peer.userId === peer.userId)) return stage.open();
  if (signaling.state !== 'online') return notify('offline', hints.offline);
  dismiss('ended.');
  // If the connection turns out to be dead, the offer is sent again on the next one.
  signaling.check();
  calls.start(peer);
  // Who is in the server's list is known to have a screen or not; who is not, gets our picture when asked to.
  const camera = peer.kind === 'person' && lobby.known(peer.userId) !== undefined;
  void media.open({ microphone: may(account.standing, 'talk', peer), camera });
}

let changed = false;

/** Makes the page show what is, once the changes of this moment are complete. */
function render() {
  if (changed) return;
  changed = true;
  queueMicrotask(() => {
    changed = false;
    show();
  });
}

function show() {
  const all = calls.all();
  const ringing = all.find((call) => call.state === 'incoming') ?? null;
  // Who only looks sees it on the screen for visitors.
  const shown = all.filter((call) => call.state !== 'incoming' && !call.looks);
  const newest = shown.at(-1);
  const ring = visits.ringing;
  const [sees, talks] = ring ? [may(account.standing, 'view', ring.device), may(account.standing, 'talk', ring.device)] : [false, false];

  incoming.show(ringing);
  visitor.show(ring, { looks: (ring && calls.with(ring.device.userId)?.stream) ?? null, sees, talks });
  stage.show(shown);
  lobby.setEngaged(shown.map((call) => call.peer.userId));
  const heard = shown.some((call) => may(account.standing, 'talk', call.peer));
  stage.showMedia(media, { talks: heard, camera: shown.some((call) => call.takesVideo) });
  tones.play(ringing || ring ? 'bell' : shown.some((call) => call.state === 'ringing') ? 'ringBack' : null);

  const state = ring ? 'visit' : (ringing?.state ?? newest?.state ?? 'idle');
  if (document.documentElement.dataset.state !== state) {
    document.documentElement.dataset.state = state;
    if (ring) speak(words.at(ring.device.name));
    else if (ringing) speak(incomingFrom(ringing.peer.name));
    else if (newest) speak(`${newest.peer.name}: ${states[newest.state]}`);
  }
  /** @type {HTMLButtonElement} */ (element('me')).disabled = all.length > 0 && !account.standing;
  void keepAwake(shown.length > 0 || ring !== null);
}

/** @type {Promise<WakeLockSentinel | null> | null} */
let wakeLock = null;

/**
 * Keeps a phone's screen on during calls, where the browser lets us.
 * @param {boolean} awake
 */
async function keepAwake(awake) {
  if (awake === (wakeLock !== null)) return;
  const held = wakeLock;
  wakeLock = awake ? (navigator.wakeLock?.request('screen').catch(() => null) ?? null) : null;
  await (await held)?.release();
}

/** The server that this page came from. */
function signalingUrl() {
  const url = new URL('ws', location.href);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  url.hash = url.search = '';
  return url.href;
}

/** @param {string} name */
function remember(name) {
  try {
    localStorage.setItem(NAME_KEY, name);
  } catch {
    // A browser that keeps nothing asks again next time.
  }
}

function recall() {
  try {
    return localStorage.getItem(NAME_KEY) ?? '';
  } catch {
    return '';
  }
}

Object.defineProperty(window, 'callbox', {
  value: Object.freeze({
    signaling: () => signaling.state,
    dropped: () => signaling.dropped,
    calls: () =>
      calls.all().map((call) => ({
        peer: call.peer.userId,
        callId: call.callId,
        state: call.state,
        outgoing: call.outgoing,
        verified: call.verified,
        stats: () => call.stats(),
      })),
  }),
});

begin();
