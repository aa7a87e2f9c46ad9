/**
 * Every word the page shows or speaks. A translation is a second file like this one.
 */

export const language = 'en';

/** Fixed texts, put into the elements whose `data-text`, `data-label` or `data-placeholder` names them. */
export const text = {
  title: 'Callbox',
  welcome: 'Who is calling?',
  welcomeHint: 'Others see this name when you call them, and can call you by it.',
  name: 'Your name',
  join: 'Continue',
  changeName: 'Change your name',
  devices: 'Devices',
  people: 'People',
  online: 'Who is online',
  empty: 'Nobody else is here right now.',
  emptyHint: 'Devices and people appear here as soon as they come online.',
  unlisted: 'This server does not tell who is online.',
  unlistedHint: 'Type the ID of whom you want to call.',
  callById: 'Call by ID',
  callByIdHint: 'front-door',
  call: 'Call',
  dismiss: 'Dismiss',
  calls: 'Calls',
  controls: 'Call controls',
  ownPicture: 'Your camera',
  showPeople: 'Add a call',
  backToCall: 'Back to the call',
  hangUp: 'Hang up',
  hangUpAll: 'Hang up all',
  switchCamera: 'Switch camera',
  enlarge: 'Full screen',
  answer: 'Answer',
  answerWithCamera: 'Answer with camera',
  decline: 'Decline',
  talk: 'Answer',
  notNow: 'Not now',
  visitorPicture: 'Who is at the door',
  tapToHear: 'Tap to hear',
  gateTitle: 'You need an invitation',
  gateHint: 'Ask somebody who lives here for a link or a code, and open it on this device.',
  invitation: 'Your link',
  enter: 'Come in',
  entering: 'One moment…',
  household: 'People',
  signOut: 'Sign out on this device',
  close: 'Close',
  invite: 'Invite somebody',
  invitedName: 'Name',
  invitedNameHint: 'How everybody here calls them',
  role: 'They come in as',
  theirRights: 'What they may do',
  theirDevices: 'With these devices only',
  from: 'From',
  until: 'Until',
  makeInvitation: 'Make the invitation',
  orSend: 'Or send them this link. It works once.',
  copy: 'Copy',
  share: 'Share',
  done: 'Done',
  alarmTitle: 'This call was not safe',
  alarmNext: 'Nothing of it was shown, and nothing of yours was sent. Do not trust this connection: try again from another network, and tell whoever runs this Callbox.',
  understood: 'I understand',
  noScript: 'This page needs JavaScript to make calls.',
};

/** What somebody is to the household. @type {Record<import('./access.js').Role, string>} */
export const roles = { owner: 'Owner', member: 'Member', guest: 'Guest' };

/** @type {Record<import('./access.js').Right, string>} */
export const rightNames = { view: 'See and hear', talk: 'Speak', ring: 'Be called', open: 'Open the door', manage: 'Change settings' };

/**
 * What somebody may do, in a few words.
 * @param {import('./access.js').Role} role
 * @param {import('./access.js').Grants} grants
 */
export function allowed(role, { everywhere, at = {} }) {
  /** @param {import('./access.js').Right[]} rights */
  const words = (rights) => rights.map((right) => rightNames[right].toLowerCase()).join(', ') || 'nothing';
  if (role === 'owner') return 'May do everything';
  const parts = Object.entries(at).map(([device, rights]) => `${device}: ${words(rights)}`);
  if (parts.length === 0) return `May ${words(everywhere)}`;
  return (everywhere.length > 0 ? [...parts, `elsewhere: ${words(everywhere)}`] : parts).join('; ');
}

/** @param {number} seconds Unix time */
export const time = (seconds) => new Date(seconds * 1000).toLocaleString([], { dateStyle: 'medium', timeStyle: 'short' });
/** @param {string} when */
export const until = (when) => `until ${when}`;

/** What a stranger is told. */
export const gate = {
  instead: (/** @type {string} */ name) => `You are here as ${name} already. Use this invitation instead, and be whom it is for?`,
  /** @param {import('./access.js').Refused} why */
  refused({ code, more }) {
    switch (code) {
      case 'invitationUnknown':
        return 'There is no such invitation. Perhaps the link was cut short, or the invitation was withdrawn.';
      case 'invitationNotYet':
        return `Your invitation counts from ${time(Number(more.from))} on. Open it again then.`;
      case 'invitationExpired':
        return 'This invitation is over. Ask for another one.';
      case 'invitationUsedUp':
        return 'This invitation was used already. Each device needs its own: ask for another one.';
      case 'tooManyAttempts':
        return 'That were too many tries. Wait a minute, then try again.';
      case 'ended':
        return 'Your access has ended.';
      case 'badHost':
      case 'badOrigin':
        return banners[code];
      default:
        return 'The server does not answer as it should. Please try again in a moment.';
    }
  },
};

/** For owners. */
export const household = {
  failed: 'That did not work. Please try again in a moment.',
  program: 'Program',
  invitation: 'Invitation, not used yet',
  own: 'this device',
  online: 'online',
  seen: (/** @type {string} */ when) => `last here ${when}`,
  from: (/** @type {string} */ when) => `from ${when}`,
  another: 'Add a device',
  anotherOf: (/** @type {string} */ name) => `Invite another device of ${name}`,
  rename: 'Rename',
  renameOne: (/** @type {string} */ name) => `Rename ${name}`,
  newName: (/** @type {string} */ name) => `What is ${name} to be called?`,
  remove: 'Remove',
  removeOne: (/** @type {string} */ name) => `Remove ${name}`,
  sure: (/** @type {string} */ name) => `Remove ${name}? Their devices lose access at once, and calls end.`,
  removeBrowser: (/** @type {string} */ label, /** @type {string} */ name) => `Sign ${name} out on ${label}`,
  withdraw: (/** @type {string} */ name) => `Withdraw this invitation of ${name}`,
  impostor: (/** @type {string} */ device, /** @type {string} */ when, /** @type {number} */ times) =>
    `A device with another key wanted to be “${device}”, ${times === 1 ? 'once' : `${times} times`}, last ${when}, and was refused. If you have put a new board there, run “callbox unpair ${device}” on the server; otherwise somebody is trying to take its place.`,
  showTo: (/** @type {string} */ name) => `Let ${name} point their phone’s camera at this.`,
  codeFor: (/** @type {string} */ name) => `QR code of the invitation for ${name}`,
  copied: 'Copied.',
  copyYourself: 'The browser does not let this page copy: the link is marked, copy it yourself.',
};

/** Somebody at a door. */
export const visitor = {
  at: (/** @type {string} */ door) => `Somebody is at ${door}`,
  silent: 'They do not see or hear you until you answer.',
  mayNotTalk: 'You may not speak there.',
  answeredBy: (/** @type {string} */ name, /** @type {string} */ door) => `${name} answered at ${door}.`,
  missed: (/** @type {string} */ door) => `Somebody was at ${door}, and nobody answered.`,
  gone: (/** @type {string} */ door) => `Whoever was at ${door} rings no more.`,
  late: (/** @type {string} */ door) => `The visit at ${door} is over already.`,
  notThrough: (/** @type {string} */ door) => `Your answer did not get through to ${door}. If it still rings, try again.`,
};

/** Whether the other side is who it says. */
export const trust = {
  is: 'Verified',
  isNot: 'Not verified',
  verified: (/** @type {string} */ name) => `Your household knows the key of ${name}, and the connection is encrypted from this device to there: nobody in between sees or hears it.`,
  unverified: (/** @type {string} */ name) => `The connection is encrypted, but nobody has checked that it is ${name} at its other end. That takes an invitation, a page opened by its https address, and a browser of today on both sides.`,
  forget: 'This browser knows the household of this Callbox by its key, and the server does not show that key any more. That is right if you were invited anew, or if Callbox was set up again. Forget the household’s key? Calls are then no longer verified.',
  alarm: (/** @type {string} */ name) => `The call was said to be with ${name}, but the connection is not theirs. Somebody between you and ${name} may have tried to listen in, so the call was ended.`,
};

/** What the buttons of the call say, by what pressing them will do or has done. */
export const buttons = {
  microphone: { on: 'Mute', off: 'Unmute', none: 'No microphone' },
  camera: { on: 'Camera off', off: 'Camera on', none: 'Camera not used' },
};

/** The connection to the server, in the corner. */
export const connection = {
  stopped: 'Not connected',
  connecting: 'Connecting…',
  online: 'Online',
  reconnecting: 'Reconnecting…',
};

/** What a call is doing. @type {Record<import('./call.js').CallState, string>} */
export const states = {
  calling: 'Calling…',
  ringing: 'Ringing…',
  incoming: 'Is calling you',
  connecting: 'Connecting…',
  connected: 'Connected',
  reconnecting: 'The connection broke. Trying again…',
  ended: 'Call ended',
};

/**
 * What the line across the page says while there is no connection. Those of a proxy are for whoever set it up.
 * @type {Record<'reconnecting' | 'reconnectingInCall' | import('./refusal.js').Trouble, string>}
 */
export const banners = {
  reconnecting: 'The connection to the server is lost. Reconnecting…',
  reconnectingInCall: 'The connection to the server is lost. Reconnecting… Your call goes on.',
  full: 'The server is full at the moment. This page keeps trying.',
  badHost: `The server refuses this page, because it does not go by the name “${location.host}”. Whoever runs it can add the name to [server] names in its configuration. This page keeps trying.`,
  badOrigin: `The server refuses this page, because a proxy in front of it changes the address: the Host header has to reach the server as the browser sent it, with the port, or “${location.hostname}” has to stand in [server] names in its configuration. Whoever set up the proxy finds this in Callbox’s documentation, “Behind a reverse proxy”. This page keeps trying.`,
  notAWebSocket: 'The server answers, but no WebSocket gets through to it: a proxy in between has to pass on Upgrade and Connection, by HTTP/1.1. Whoever set it up finds this in Callbox’s documentation, “Behind a reverse proxy”. This page keeps trying.',
  unreachable: 'The proxy at this address does not reach the server behind it. Is Callbox running there? This page keeps trying.',
  login: 'Something in front of the server, a login perhaps, answers instead of Callbox. Load this page again to sign in. This page keeps trying.',
  elsewhere: 'Something other than Callbox’s server answers where this page looks for it. A proxy has to pass on every path below this page’s address, “ws” too. This page keeps trying.',
};

/** Why joining under a name ended. @type {Record<'idTaken' | 'replaced' | 'notAccepted', string>} */
export const refused = {
  idTaken: 'This name is in use by somebody else right now. Please choose another one.',
  replaced: 'This name is now used in another window or by somebody else. Choose another name, or continue here.',
  notAccepted: 'The server does not accept this name. Please choose another one. If that does not help, load this page again: it may be older than the server.',
};

/**
 * How a call ended, told when the other side or the network ended it.
 * @param {import('./call.js').EndReason} reason
 * @param {string} name
 * @param {{ outgoing: boolean, talked: boolean }} call
 * @returns {string}
 */
export function ending(reason, name, { outgoing, talked }) {
  switch (reason) {
    case 'hangup':
      if (talked || outgoing) return `${name} hung up.`;
      return `You missed a call from ${name}.`;
    case 'declined':
      return `${name} declined the call.`;
    case 'busy':
      return `${name} is busy. Please try again later.`;
    case 'noAnswer':
      return outgoing ? `${name} does not answer.` : `You missed a call from ${name}.`;
    case 'failed':
      if (talked) return `The connection to ${name} broke, and did not come back. Calling again may help.`;
      return `No connection to ${name} could be made. Both of you are reachable, but the networks in between let no picture or sound through. A TURN server helps; the person who runs this server can add one.`;
    case 'lost':
      return `The connection to ${name} is lost. Calling again may help.`;
    case 'unknownTarget':
      return `Nobody is online under the ID “${name}”. Check how it is written, or try again later.`;
    case 'forbidden':
      return `You may not call ${name}.`;
    case 'gone':
      return `${name} is no longer there. Call back, or wait for them to call again.`;
    case 'badOffer':
      if (talked) return `The call with ${name} could not go on. Calling again may help.`;
      return `${name} and this browser do not understand each other’s picture or sound. Updating the browser may help.`;
    case 'shutdown':
      return `${name} was switched off.`;
    case 'revoked':
      return `The call with ${name} has ended: who may call whom has changed.`;
    case 'unverified':
      return trust.alarm(name);
    case 'unshown':
      return `${name} does not show who they are, so there is no call. Ask them to open a new invitation, by the https address of this page, in a browser of today.`;
    case 'unidentified':
      return isSecureContext
        ? `${name} takes calls of those only whom it can verify, and this browser has no key of its household. Ask for a new invitation and open it here.`
        : `${name} takes calls of those only whom it can verify, and a page that was opened without encryption has no key. Open this page by its https address, with a new invitation.`;
    case 'replaced':
      return `${name} called again from another window.`;
    case 'other':
      return `The call with ${name} has ended.`;
  }
}

/** @type {Record<import('./media.js').Device, Record<import('./media.js').Problem, string>>} */
export const problems = {
  microphone: {
    insecure: 'You can watch and listen, but not speak: browsers give a microphone to secure pages only.',
    denied: 'You can watch and listen, but not speak: this page may not use the microphone. Press the symbol beside the address, allow the microphone, then press the microphone button.',
    deniedBySystem: 'You can watch and listen, but not speak: the system does not let the browser use the microphone. Allow it in the system’s privacy settings, then press the microphone button.',
    missing: 'You can watch and listen, but not speak: no microphone was found. Plug one in, then press the microphone button.',
    busy: 'You can watch and listen, but not speak: the microphone does not start. Another program may be using it; close that program, then press the microphone button.',
    lost: 'The microphone is gone. Plug it in again, then press the microphone button.',
    failed: 'You can watch and listen, but not speak: the microphone does not start. Press the microphone button to try again.',
  },
  camera: {
    insecure: 'Your camera is not sent: browsers give a camera to secure pages only.',
    denied: 'Your camera is not sent: this page may not use it. Press the symbol beside the address, allow the camera, then press the camera button.',
    deniedBySystem: 'Your camera is not sent: the system does not let the browser use it. Allow it in the system’s privacy settings, then press the camera button.',
    missing: 'Your camera is not sent: none was found. The call goes on without.',
    busy: 'Your camera is not sent: it does not start. Another program may be using it; close that program, then press the camera button.',
    lost: 'The camera is gone. Plug it in again, then press the camera button.',
    failed: 'Your camera is not sent: it does not start. Press the camera button to try again.',
  },
};

export const hints = {
  insecure: 'This page was opened without encryption, so the browser gives it no microphone and no camera: you can watch and listen only. Open it by its https address instead.',
  noKey: isSecureContext
    ? 'This browser has no key of the household, so devices that take verified calls only refuse its calls. Ask for a new invitation, and open it here.'
    : 'This page was opened without encryption, where browsers have no keys: devices that take verified calls only refuse its calls. Open it by its https address, with a new invitation.',
  noH264: 'This browser lacks H.264, so you will hear devices and not see them. Firefox loads it shortly after its first start: wait a minute, and look whether the OpenH264 plug-in is switched on under about:addons. Otherwise open this page in Chrome, Edge or Safari.',
  soundOnly: (/** @type {string} */ name) => `Sound only: this browser lacks H.264, which the picture of ${name} needs. Hang up and call from Chrome, Edge or Safari, or from Firefox with its OpenH264 plug-in.`,
  mayTalkOnly: (/** @type {string} */ name) => `Sound only, one way: ${name} hears you, and you may not see or hear it.`,
  mayNotTalk: (/** @type {string} */ name) => `You may watch and listen, and not speak to ${name}.`,
  noPicture: (/** @type {string} */ name) => `Sound only: ${name} sends this browser no picture.`,
  badServers: (/** @type {string[]} */ urls) => `The configuration of this server has ICE servers that browsers refuse: ${urls.map((url) => `“${url}”`).join(', ')}. Calls are made without them; whoever runs the server can mend [[ice.servers]].`,
  noScreen: 'This device has no screen, so your camera is not sent.',
  takesNoVideo: (/** @type {string} */ name) => `${name} takes no picture, so your camera is not sent.`,
  ownId: 'That is your own ID. Type the ID of somebody else.',
  noId: 'Type the ID of whom you want to call.',
  noName: 'Please type a name.',
  offline: 'There is no connection to the server yet. Please try again in a moment.',
  unsupported: 'This browser cannot make calls. Please use a current Firefox, Chrome, Edge or Safari.',
  remoteMuted: 'Microphone off',
  cameraOff: 'Camera off',
};

/** @param {import('./protocol.js').Peer} peer */
export const callPeer = (peer) => (peer.kind === 'device' ? `Call ${peer.name}, device` : `Call ${peer.name}`);
export const inCall = 'In a call with you';
export const callsYou = 'Calls you';
/** @param {string} name */
export const hangUpOn = (name) => `Hang up on ${name}`;
/** @param {string} name */
export const pictureOf = (name) => `Picture and sound of ${name}`;
/** @param {string} name */
export const incomingFrom = (name) => `${name} is calling`;
/** @param {string} name */
export const joinedAs = (name) => `You are ${name}. Change your name`;
/** @param {string} name */
export const knownAs = (name) => `You are ${name}. Your access`;
