/** The page's reading of messages and names, without a browser. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

// Browsers take the page's files for modules because of how they are loaded; Node 18 has to be told.
const source = readFileSync(new URL('../../web/protocol.js', import.meta.url), 'utf8');
const { asReason, cleanId, isId, isOlder, parse: read, sessionOf, sortsBefore, videoDirection } = await import(
  `data:text/javascript,${encodeURIComponent(source)}`
);
/** @param {unknown} data */
const parse = (data) => read(data, 'me');

test('a typed name becomes an ID that every end accepts', () => {
  assert.equal(cleanId('  Anna \n'), 'Anna');
  assert.equal(cleanId('an\u0000na\u0085'), 'anna');
  assert.equal(cleanId('\ud800x'), 'x');
  assert.equal(cleanId(' \t '), '');
  assert.equal(cleanId('ü'.repeat(40)), 'ü'.repeat(32));
  assert.equal(cleanId(`${'x'.repeat(63)} y`), 'x'.repeat(63));
  assert.equal(new TextEncoder().encode(cleanId('👪'.repeat(40))).length, 64);
});

test('IDs are compared by bytes, as the other ends do', () => {
  assert.ok(sortsBefore('anna', 'ben'));
  assert.ok(!sortsBefore('ben', 'anna'));
  assert.ok(!sortsBefore('anna', 'anna'));
  assert.ok(sortsBefore('ann', 'anna'));
  // UTF-16 would have it the other way round.
  assert.ok(sortsBefore('\uff5e', '\u{1f600}'));
});

test('what is malformed is no message', () => {
  const bad = [
    undefined, new ArrayBuffer(4), '', '{', '[]', '7', 'null', '{}', '{"type":7}',
    '{"type":"offer","offer":{"type":"offer","sdp":"v=0"}}',
    '{"type":"offer","userId":"x","offer":"v=0"}',
    '{"type":"offer","userId":"x","offer":{"type":"answer","sdp":"v=0"}}',
    '{"type":"answer","userId":"x","answer":{"type":"answer"}}',
    '{"type":"candidate","userId":"x","candidate":"here"}',
    '{"type":"candidate","userId":"x"}',
    '{"type":"presence","peer":{"name":"x"},"online":true}',
    '{"type":"ringing","userId":7}',
    '{"type":"leave","userId":" x"}',
    '{"type":"ringing","userId":"an\u202ena"}',
    '{"type":"error","userId":7,"code":"badSdp"}',
    new Uint8Array([0x7b, 0xff, 0x7d]).buffer,
  ];
  for (const text of bad) assert.equal(parse(text), null, String(text));
});

test('a type of a later version concerns nobody, and is no mistake', () => {
  assert.equal(parse('{"type":"dance","userId":"x"}'), undefined);
});

test('text in a binary frame is a message', () => {
  const bytes = new TextEncoder().encode('{"type":"ringing","userId":"jürgen"}');
  assert.deepEqual(parse(bytes.buffer), { type: 'ringing', userId: 'jürgen', callId: undefined });
});

test('what makes names look alike is refused in IDs and taken out of names', () => {
  const unseen = ['\u0000', '\u0085', '\u00ad', '\u115f', '\u1160', '\u200b', '\u200d', '\u200f', '\u2028', '\u2029', '\u202e', '\u2066', '\u3164', '\ufeff', '\uffa0', '\u{e0041}'];
  for (const character of unseen) {
    const id = `do${character}or`;
    assert.ok(!isId(id), escape(id));
    assert.equal(cleanId(id), 'door', escape(id));
    const joined = parse(JSON.stringify({ type: 'joined', peers: [{ userId: id }, { userId: 'door', name: id }, { userId: 'gate', name: character }] }));
    assert.deepEqual(joined.peers, [
      { userId: 'door', name: 'door', kind: 'person' },
      { userId: 'gate', name: 'gate', kind: 'person' },
    ], escape(id));
  }
  for (const id of ['', ' door', 'door ', 'x'.repeat(65), 7, null]) assert.ok(!isId(id), String(id));
  for (const id of ['door', 'Front door', 'ДВЕРЬ', '門', 'דלת', 'x'.repeat(64)]) assert.ok(isId(id), id);
});

test('an error is a peer’s if it has a sender, and nobody’s if it hides one', () => {
  const error = (fields) => parse(JSON.stringify({ type: 'error', code: 'idTaken', inReplyTo: 'join', message: '', ...fields }));
  assert.equal(error({}).type, 'refusal');
  assert.equal(error({ targetId: 'door' }).type, 'refusal');
  assert.deepEqual(error({ userId: 'door', targetId: 'me', callId: 'c1' }), {
    type: 'complaint', userId: 'door', code: 'idTaken', message: '', inReplyTo: 'join', callId: 'c1',
  });
  assert.equal(error({ userId: 'door' }).type, 'complaint');
  // A relay forwards by `targetId`: only a peer writes ours into it.
  assert.equal(error({ targetId: 'me' }), undefined);
  // Some make an address of what is no text.
  for (const targetId of [['me'], 5, null, {}]) assert.equal(error({ targetId }), undefined, JSON.stringify(targetId));
});

test('what only the server says comes from no peer', () => {
  for (const message of [
    { type: 'joined', userId: 'me', peers: [], iceServers: [] },
    { type: 'presence', peer: { userId: 'x' }, online: true },
    { type: 'peers', online: [{ userId: 'x' }], offline: [] },
    { type: 'pong', nonce: '1' },
  ]) {
    assert.equal(parse(JSON.stringify(message))?.type, message.type);
    assert.equal(parse(JSON.stringify({ ...message, targetId: 'me' })), undefined, message.type);
  }
});

test('a list of changes is read, and what is no peer in it is left out', () => {
  assert.deepEqual(
    parse('{"type":"peers","online":[{"userId":"door","kind":"device"},7],"offline":["ben","",7]}'),
    { type: 'peers', online: [{ userId: 'door', name: 'door', kind: 'device' }], offline: ['ben'] },
  );
});

test('an offer tells what kind of peer wrote it, if it does', () => {
  const kind = (value) => parse(JSON.stringify({ type: 'offer', userId: 'x', kind: value, offer: { type: 'offer', sdp: 'v=0' } })).kind;
  assert.deepEqual(['device', 'person', 'robot', undefined].map(kind), ['device', 'person', undefined, undefined]);
});

test('a candidate is placed by its section, its number, or as the only one', () => {
  const candidate = (fields) => parse(JSON.stringify({ type: 'candidate', userId: 'x', candidate: { candidate: 'candidate:1', ...fields } })).candidate;
  const place = ({ sdpMid, sdpMLineIndex }) => [sdpMid, sdpMLineIndex];
  assert.deepEqual(place(candidate({ sdpMid: '0', sdpMLineIndex: 0 })), ['0', 0]);
  assert.deepEqual(place(candidate({ sdpMid: null, sdpMLineIndex: 1 })), [null, 1]);
  assert.deepEqual(place(candidate({ sdpMid: null })), [null, 0]);
  assert.deepEqual(place(candidate({ sdpMid: 'audio' })), ['audio', null]);
});

test('what is well-formed is read, and what later versions add does no harm', () => {
  assert.deepEqual(parse('{"type":"leave","userId":"x","reason":"eaten","mood":"sad"}'), {
    type: 'leave', userId: 'x', callId: undefined, reason: 'other', toUs: false,
  });
  assert.equal(asReason(undefined), 'hangup');
  const joined = parse(JSON.stringify({
    type: 'joined',
    userId: 'anna',
    version: 2,
    peers: [{ userId: 'door', kind: 'device' }, { userId: '' }, null, { userId: 'ben', name: 'Ben', kind: 'robot' }],
    iceServers: [{ urls: ['stun:a'] }, { urls: 'x' }, 7],
  }));
  assert.deepEqual(joined?.type === 'joined' && joined.peers, [
    { userId: 'door', name: 'door', kind: 'device' },
    { userId: 'ben', name: 'Ben', kind: 'person' },
  ]);
  assert.deepEqual(joined?.type === 'joined' && joined.iceServers.map((server) => server.urls), [['stun:a'], ['x']]);
  assert.equal(parse('{"type":"candidate","userId":"x","candidate":null}')?.type, 'candidate');
});

test('a description tells its session and which way its video goes', () => {
  const sdp = (direction) =>
    `v=0\r\no=- 4611 2 IN IP4 127.0.0.1\r\ns=-\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=sendrecv\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n${direction}`;
  assert.equal(sessionOf(sdp('')), '4611');
  assert.equal(sessionOf('v=0'), null);
  const older = (a, b) => isOlder(sdp('').replace(' 4611 2 ', ` ${a} `), sdp('').replace(' 4611 2 ', ` ${b} `));
  assert.ok(older('4611 9', '4611 10'));
  assert.ok(older('4611 18446744073709551614', '4611 18446744073709551615'));
  assert.ok(!older('4611 2', '4611 2'));
  assert.ok(!older('4611 3', '4611 2'));
  assert.ok(!older('4611 2', '4711 3'));
  assert.ok(!isOlder('v=0', sdp('')));
  assert.equal(videoDirection(sdp('a=sendonly\r\n')), 'sendonly');
  assert.equal(videoDirection(sdp('')), 'sendrecv');
  assert.equal(videoDirection(sdp('').replace('m=video 9', 'm=video 0')), null);
  assert.equal(videoDirection('v=0\r\nm=audio 9 X 0\r\n'), null);
});
