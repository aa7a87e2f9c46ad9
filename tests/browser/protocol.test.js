/** The page's reading of messages and names, without a browser. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

// Browsers take the page's files for modules because of how they are loaded; Node 18 has to be told.
const source = readFileSync(new URL('../../web/protocol.js', import.meta.url), 'utf8');
const { asReason, cleanId, parse, sessionOf, sortsBefore, videoDirection } = await import(
  `data:text/javascript,${encodeURIComponent(source)}`
);

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
    undefined, new ArrayBuffer(4), '', '{', '[]', '7', 'null', '{}', '{"type":7}', '{"type":"dance","userId":"x"}',
    '{"type":"offer","offer":{"type":"offer","sdp":"v=0"}}',
    '{"type":"offer","userId":"x","offer":"v=0"}',
    '{"type":"offer","userId":"x","offer":{"type":"answer","sdp":"v=0"}}',
    '{"type":"answer","userId":"x","answer":{"type":"answer"}}',
    '{"type":"candidate","userId":"x","candidate":"here"}',
    '{"type":"candidate","userId":"x"}',
    '{"type":"presence","peer":{"name":"x"},"online":true}',
    '{"type":"ringing","userId":7}',
  ];
  for (const text of bad) assert.equal(parse(text), null, String(text));
});

test('what is well-formed is read, and what later versions add does no harm', () => {
  assert.deepEqual(parse('{"type":"leave","userId":"x","reason":"eaten","mood":"sad"}'), {
    type: 'leave', userId: 'x', callId: undefined, reason: 'other',
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
  assert.equal(joined?.type === 'joined' && joined.iceServers.length, 1);
  assert.equal(parse('{"type":"candidate","userId":"x","candidate":null}')?.type, 'candidate');
});

test('a description tells its session and which way its video goes', () => {
  const sdp = (direction) =>
    `v=0\r\no=- 4611 2 IN IP4 127.0.0.1\r\ns=-\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=sendrecv\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n${direction}`;
  assert.equal(sessionOf(sdp('')), '4611');
  assert.equal(sessionOf('v=0'), null);
  assert.equal(videoDirection(sdp('a=sendonly\r\n')), 'sendonly');
  assert.equal(videoDirection(sdp('')), 'sendrecv');
  assert.equal(videoDirection(sdp('').replace('m=video 9', 'm=video 0')), null);
  assert.equal(videoDirection('v=0\r\nm=audio 9 X 0\r\n'), null);
});
