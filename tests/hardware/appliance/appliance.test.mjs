// The appliance as it ships: the finished image in a virtual arm64 machine, with vivid as camera and snd-aloop as sound
// card; one browser outside. Two boots: an ordinary one, and one at which everything is missing that can be.

import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { after, before } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startBrowser } from '../../browser/harness/browser.js';
import { Caller, HEIGHT, PLAY_TONE, WIDTH, unplug, until } from '../caller.mjs';
import { ADDRESS } from '../machine.mjs';
import { failed, step } from '../story.mjs';
import { boot } from './guest.mjs';
import { startRouter } from './router.mjs';

const OUT = fileURLToPath(new URL('../../../target/hardware/appliance', import.meta.url));
const SPEAKER = `${OUT}/speaker.wav`;
const PAGE = `https://${ADDRESS}:8443/`;
const CONFIG = '/etc/callbox/callbox.toml';
const REPORT = '/boot/firmware/callbox-report.txt';
/** The virtual Wi-Fi, and the address of its router. */
const WIFI = 'Home';
const WIFI_ROUTER = '10.78.0.1';
const TONE_LOG = '/tmp/tone.log';
/** How long an emulated processor may take for what a board does at once, in milliseconds. */
const PATIENCE = 90_000;
/** What an emulated processor on a busy machine leaves of ten pictures a second, of the tone's pitch when pieces of it are
 * missing, and of ten beeps. */
const LEAST_FPS = 1;
const TORN_HZ = 60;
const BEEPS = 2;
/** How many times longer than on a board things may take here; docs/boards.md has what they took. */
const EMULATION = 4;
/** How soon a person can call again after the program was killed or hung, and how soon a camera's picture is back. */
const AGAIN_MS = 10_000 * EMULATION;
const WATCHDOG_MS = 30_000 * EMULATION;
const BACK_MS = 5_000 * EMULATION;
/** What `systemd-analyze security` may give, in tenths. */
const EXPOSURE = 20;

/** @type {import('../machine.mjs').Machine} */
let guest;
/** @type {import('playwright-core').Browser} */
let browser;
/** @type {Caller} */
let caller;
/** Ends it. @type {() => void} */
let stopRouter;

before(async () => {
  stopRouter = startRouter(OUT);
  guest = await boot(OUT);
  browser = await startBrowser();
}, { timeout: 900_000 });

after(async () => {
  await keepLogs('last');
  await guest?.stop();
  if (failed) await caller?.screenshot('appliance-failed').catch(() => {});
  await browser?.close();
  stopRouter?.();
  if (failed) console.log(`look at ${OUT}/journal-last.log and ${OUT}/console.log, and at target/screenshots/appliance-failed.png`);
});

step('it boots into service and registers', async (t) => {
  await registered();
  await guest.until('systemctl is-system-running', (state) => !/starting|initializing/.test(state), 300_000);
  const line = (await journal('-u callbox')).find(({ MESSAGE }) => MESSAGE.startsWith('registered at the signaling server'));
  const started = Number(await guest.run('systemctl show callbox -p ExecMainStartTimestampMonotonic --value')) / 1e6;
  const at = Number(line.__MONOTONIC_TIMESTAMP) / 1e6;
  t.diagnostic(`registered ${at.toFixed(1)} s after the kernel's start, ${(at - started).toFixed(1)} s after the service's`);
  for (const line of (await guest.run('systemd-analyze; systemd-analyze critical-chain callbox.service --no-pager', 400_000)).split('\n')) {
    if (line.trim()) t.diagnostic(line);
  }
}, 900_000);

step('nothing failed on the way', async () => {
  assert.equal(await guest.run('systemctl list-units --failed --plain --no-legend'), '');
});

step('systemd-analyze security', async (t) => {
  for (const unit of ['callbox.service', 'callbox-server.service']) {
    const verdict = await guest.run(`systemd-analyze security --no-pager --threshold=${EXPOSURE} ${unit} | tail -n 1`, PATIENCE);
    t.diagnostic(verdict.trim());
    assert.ok(Number(verdict.match(/([\d.]+) /)?.[1]) <= EXPOSURE / 10, verdict);
  }
});

step('a call: the browser sees the colour bars', async (t) => {
  await guest.start(PLAY_TONE, TONE_LOG);
  caller = await openCaller();
  await caller.call();
  await caller.seesMotion(t, LEAST_FPS);
  assert.equal(await caller.size(), `${WIDTH}x${HEIGHT}`);
  await caller.expectBars();
  await caller.screenshot('appliance');
});

step('it hears the tone that is played into the guest\'s microphone', () => caller.hearsTone(TORN_HZ));

step('its voice comes out of the guest\'s speaker', (t) => caller.isHeard(t, guest, SPEAKER, BEEPS));

step('memory and processor in the call', async (t) => {
  const usage = async () => {
    const text = await guest.run('systemctl show callbox -p CPUUsageNSec,MemoryCurrent,TasksCurrent; cat /proc/uptime;'
      + ' grep -E "VmHWM|VmRSS" /proc/$(systemctl show callbox -p MainPID --value)/status');
    return { cpu: Number(text.match(/CPUUsageNSec=(\d+)/)[1]) / 1e9, at: Number(text.match(/^([\d.]+) [\d.]+$/m)[1]), text };
  };
  const from = await usage();
  await sleep(10_000);
  const to = await usage();
  t.diagnostic(`${(100 * (to.cpu - from.cpu) / (to.at - from.at)).toFixed(0)} % of one emulated core`);
  for (const line of to.text.trim().split('\n')) t.diagnostic(line.replace(/\s+/g, ' '));
});

step('journalctl CALLBOX_CALL=... shows this call alone', async (t) => {
  const calls = new Set((await journal('-u callbox')).map((line) => line.CALLBOX_CALL).filter(Boolean));
  assert.equal(calls.size, 1, `calls in the journal: ${[...calls]}`);
  const lines = await journal(`CALLBOX_CALL=${[...calls][0]}`);
  assert.ok(lines.length > 0 && lines.every((line) => line.CALLBOX_PEER?.startsWith('visitor')), JSON.stringify(lines));
  for (const line of lines) t.diagnostic(line.MESSAGE);
});

step('the camera disconnected: the call goes on with a picture that says so; back again, so is the picture', async (t) => {
  // vivid comes back when the last program that has it open lets go: this one does when the test says so.
  await guest.start('exec sleep 600 < /dev/video0');
  await guest.run('v4l2-ctl -d /dev/video0 -c disconnect=1 || true');
  await until(async () => !(await caller.seesBars()), PATIENCE);
  await guest.until(OPEN_CAMERAS, (text) => text.trim() === '', PATIENCE);
  await caller.screenshot('appliance-no-camera');
  assert.ok((await caller.rate(3)) > 0.5, 'pictures still come');
  await caller.hearsTone(TORN_HZ);
  await caller.reaches('connected');
  await guest.run('pkill -x -f "sleep 600"');
  const back = await until(() => caller.seesBars(), BACK_MS);
  t.diagnostic(`the picture is back after ${(back / 1000).toFixed(1)} s`);
  await caller.seesMotion(t, LEAST_FPS);
});

step('the sound card\'s module removed: the picture goes on; loaded again, both directions are back', async (t) => {
  // The driver lets go of a card in use only when the card is pulled out.
  await unplug(guest, 'snd_aloop', 'snd_aloop.0');
  await guest.until('modprobe -r snd-aloop', (text) => text === '', PATIENCE);
  await caller.seesMotion(t, LEAST_FPS);
  await guest.run('modprobe snd-aloop');
  const since = Date.now();
  await guest.start(PLAY_TONE, TONE_LOG);
  await caller.hearsTone(TORN_HZ);
  t.diagnostic(`the tone is back after ${((Date.now() - since) / 1000).toFixed(1)} s`);
  await caller.isHeard(t, guest, SPEAKER, BEEPS);
  await caller.hangUp();
});

step('killed (SIGKILL): callable again', async (t) => {
  const since = Date.now();
  await guest.run('kill -9 $(systemctl show callbox -p MainPID --value)');
  await registered();
  await caller.call();
  const after = Date.now() - since;
  t.diagnostic(`called and seen ${(after / 1000).toFixed(1)} s after the kill`);
  assert.ok(after < AGAIN_MS, `${after} ms`);
});

step('the watchdog: a main loop that hangs is ended, and the intercom is callable again', async (t) => {
  await guest.run(`mkdir -p /run/systemd/system/callbox.service.d
    printf '[Service]\\nEnvironment=CALLBOX_DEBUG_HOOKS=1\\n' > /run/systemd/system/callbox.service.d/hooks.conf
    systemctl daemon-reload && systemctl restart callbox`, PATIENCE);
  await registered();
  const before = await mainProcess();
  const since = Date.now();
  await guest.start('callbox debug-block');
  await guest.until('systemctl show callbox -p MainPID --value', (pid) => ![before, '0'].includes(pid.trim()), WATCHDOG_MS);
  await registered();
  const after = Date.now() - since;
  t.diagnostic(`registered again ${(after / 1000).toFixed(1)} s after it hung`);
  assert.ok(after < WATCHDOG_MS, `${after} ms`);
  assert.match(await guest.run('journalctl -b -u callbox --no-pager -n 50'), /Watchdog timeout/);
  await caller.call();
});

step('SIGHUP: another camera from the next time it is switched on, and the call there is goes on', async (t) => {
  // The second camera: another instance of the driver's, on another number.
  await caller.hangUp();
  await guest.until('modprobe -r vivid', (text) => text === '', PATIENCE);
  await guest.run('modprobe vivid n_devs=2 num_inputs=1,1 input_types=0,0 node_types=0x1,0x1');
  const { cameras } = JSON.parse(await guest.run('callbox devices --json', PATIENCE));
  assert.equal(cameras.filter((camera) => /vivid/.test(camera.name)).length, 2, JSON.stringify(cameras));
  await caller.call();
  assert.equal(await openCameras(), '/dev/video0');
  const before = await mainProcess();
  await setting('/^\\[camera\\]/a source = "/dev/video1"');
  await guest.run('systemctl reload callbox', PATIENCE);
  await guest.until('journalctl -b -u callbox --no-pager -o cat | grep reloaded || true', (text) => text !== '', PATIENCE);
  await caller.reaches('connected');
  assert.equal(await openCameras(), '/dev/video0');
  await caller.hangUp();
  await caller.call();
  assert.equal(await openCameras(), '/dev/video1');
  await until(() => caller.seesBars(), PATIENCE);
  assert.equal(await mainProcess(), before);
  t.diagnostic((await guest.run('journalctl -b -u callbox --no-pager -o cat | grep reloaded | tail -n 1')).trim());
});

step('SIGHUP with a broken configuration: the journal names the line, the call goes on', async (t) => {
  const before = await mainProcess();
  await setting('/^\\[camera\\]/a fsp = 12');
  await guest.run('systemctl reload callbox || true', PATIENCE);
  const said = await guest.until('journalctl -b -u callbox --no-pager -o cat | grep -F fsp || true', (text) => text !== '', PATIENCE);
  t.diagnostic(said.trim().split('\n')[0]);
  assert.match(said, /callbox\.toml:\d+/);
  assert.equal(await mainProcess(), before);
  assert.equal((await guest.run('systemctl is-active callbox')).trim(), 'active');
  await caller.seesMotion(t, LEAST_FPS);
  await setting('/^fsp/d;/^source/d');
  await guest.run('systemctl reload callbox', PATIENCE);
  await caller.hangUp();
});

step('the Wi-Fi: a wrong password stands in the report on the card, and with the right one the board joins', async (t) => {
  // Two radios in one virtual air: the board's, and one that plays the access point.
  await guest.run(`mkdir -p /run/systemd/network /run/access-point
    printf '%s\\n' '[Match]' Name=wlan1 '[Network]' Address=${WIFI_ROUTER}/24 DHCPServer=yes \\
      '[DHCPServer]' EmitRouter=no EmitDNS=no > /run/systemd/network/05-access-point.network
    printf '%s\\n' ctrl_interface=/run/access-point 'network={' 'ssid="${WIFI}"' mode=2 frequency=2412 key_mgmt=WPA-PSK proto=RSN \\
      'psk="the right one"' '}' > /run/access-point/conf
    networkctl reload`, PATIENCE);
  await wifi('the wrong one');
  await guest.run('modprobe mac80211_hwsim radios=2', PATIENCE);
  await guest.start('exec wpa_supplicant -i wlan1 -c /run/access-point/conf');
  const since = Date.now();
  const report = await guest.until(`cat ${REPORT}`, (text) => text.includes(`"${WIFI}" does not take the password`), PATIENCE * 2);
  t.diagnostic(`told ${((Date.now() - since) / 1000).toFixed(1)} s after the radio was there`);
  assert.match(report, /one thing needs your attention/);
  await wifi('the right one');
  await guest.until('ip -4 -br address show wlan0', (text) => text.includes(WIFI_ROUTER.replace(/1$/, '')), PATIENCE);
  await guest.until(`cat ${REPORT}`, (text) => text.includes('all is well'), PATIENCE);
  await guest.run('pkill -f /run/access-point/conf');
});

step('the state full to the last byte: it starts, and is called', async (t) => {
  // The last of it is kept for root.
  await guest.run(`cd /var/lib/callbox; fallocate -l "$(df --output=avail -B1 . | tail -n 1)" filler
    dd if=/dev/zero of=filler.rest bs=64k 2> /dev/null; sync; test "$(df --output=avail . | tail -n 1)" -eq 0`, PATIENCE);
  await guest.run('systemctl restart callbox', PATIENCE);
  await registered();
  await caller.call();
  await caller.seesMotion(t, LEAST_FPS);
  await caller.hangUp();
  await guest.run('rm /var/lib/callbox/filler*');
});

step('at the next boot there is no network, no camera, no sound card, and the clock says 1970: it runs', async (t) => {
  await keepLogs('first');
  await guest.run('systemctl poweroff --no-block');
  await Promise.race([guest.ended, sleep(PATIENCE)]);
  assert.ok(guest.dead, 'the guest switches itself off');
  guest = await boot(OUT, { devices: false, cable: false, clock: '1970-01-01T00:00:00' });
  await registered(300_000);
  t.diagnostic(`the clock says ${(await guest.run('date')).trim()}`);
  await guest.until('systemctl is-system-running', (state) => !/starting|initializing/.test(state), 300_000);
  assert.equal(await guest.run('systemctl list-units --failed --plain --no-legend'), '');
}, 900_000);

step('the cable plugged in: it has an address, the time, and can be called', async (t) => {
  await guest.cable(true);
  await guest.until('ip -4 -br address', (text) => text.includes(ADDRESS), PATIENCE);
  await guest.until('date +%s', (now) => Math.abs(Number(now) - Date.now() / 1000) < 10, PATIENCE);
  await caller.page.context().close();
  caller = await openCaller();
  await caller.call();
  assert.ok(!(await caller.seesBars()), 'there is no camera yet');
  await caller.seesMotion(t, LEAST_FPS);
  await caller.hangUp();
});

step('the camera and the sound card appear: the next call has them', async (t) => {
  // Until udev has given them to their groups the service may not open them.
  await guest.run('modprobe vivid n_devs=1 num_inputs=1 input_types=0 node_types=0x1; modprobe snd-aloop; udevadm settle', PATIENCE);
  await guest.start(PLAY_TONE, TONE_LOG);
  await caller.call();
  await until(() => caller.seesBars(), PATIENCE);
  await caller.hearsTone(TORN_HZ);
  await caller.isHeard(t, guest, SPEAKER, BEEPS);
  await caller.hangUp();
});

step('a camera that appears starts a service that is down', async () => {
  await guest.run('systemctl stop callbox; modprobe -r vivid', PATIENCE);
  await guest.run('modprobe vivid n_devs=1 num_inputs=1 input_types=0 node_types=0x1');
  await registered();
});

async function openCaller() {
  const caller = await Caller.open(browser, PAGE, 'guest');
  caller.page.setDefaultTimeout(PATIENCE);
  return caller;
}

const mainProcess = () => guest.run('systemctl show callbox -p MainPID --value').then((text) => text.trim());

/** Lists the cameras that callbox has open. */
const OPEN_CAMERAS = 'ls -l /proc/$(systemctl show callbox -p MainPID --value)/fd | grep -o "/dev/video.*" | sort -u';
const openCameras = () => guest.run(OPEN_CAMERAS).then((text) => text.trim());

/** Changes the configuration in force, as an editor does, by a script for sed. */
const setting = (script) => guest.run(`sed -i --follow-symlinks '${script}' ${CONFIG}`);

/** Writes wifi.txt as with the card in a computer, and starts what a boot starts. */
const wifi = (password) => guest.run(`mount -o remount,rw /boot/firmware
  printf 'ssid = ${WIFI}\\r\\npassword = ${password}\\r\\ncountry = DE\\r\\n' > /boot/firmware/wifi.txt
  mount -o remount,ro /boot/firmware
  systemctl restart callbox-board-import
  systemctl restart --no-block wpa_supplicant@wlan0 callbox-board-wifi`, PATIENCE);

async function registered(patience = PATIENCE) {
  await guest.until('callbox status --json || true', (text) => {
    try {
      return JSON.parse(text).signaling.registration.state === 'registered';
    } catch {
      return false;
    }
  }, patience);
}

/** What this boot's journal has of `match`, oldest first. */
async function journal(match) {
  const text = await guest.run(
    `journalctl --boot --no-pager --output=json --output-fields=MESSAGE,CALLBOX_CALL,CALLBOX_PEER ${match}`, PATIENCE);
  return text.split('\n').filter(Boolean).map((line) => JSON.parse(line));
}

async function keepLogs(name) {
  mkdirSync(OUT, { recursive: true });
  const text = await guest?.run('journalctl --boot --no-pager --output=short-monotonic', PATIENCE).catch((error) => `${error}`);
  writeFileSync(`${OUT}/journal-${name}.log`, text ?? 'there was no guest');
}
