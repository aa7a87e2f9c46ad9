// Cuts the power of small guests at random moments, again and again, while they install updates, change their settings and
// their household, and write what they can, and holds what each boot finds against what had been under way. Prints the
// figures; fails on anything torn, lost after it was reported done, or undone.
//
//   CUTS=N     boots that have to be looked at after a cut (default 110)
//   GUESTS=N   at a time, each with a card of its own (default 2)
//   SEED=N     the same decisions again; the moments too, as far as the machine's speed allows
//   NAIVE=1    settings are written in place: fails unless that is noticed
//   VERBOSE=1  what the guests say

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { execFileSync, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Disk } from "./disk.mjs";

const out = new URL("../../target/power/", import.meta.url).pathname;
const wanted = Number(process.env.CUTS || 110);
const guests = Number(process.env.GUESTS || 2);
const seed = Number(process.env.SEED || Date.now() % 1_000_000);
const naive = process.env.NAIVE === "1";
/** In milliseconds; a guest that has said nothing for so long hangs. */
const SILENCE = 240_000;
/** With settings written in place, how many cuts it may take to notice. */
const NAIVE_CUTS = 60;

const figures = { cuts: 0, boots: 0, old: 0, new: 0, torn: 0, early: 0 };
const interrupted = { update: 0, settle: 0, rollback: 0, config: 0, household: 0, nothing: 0 };
const odd = new Set();
const begun = Date.now();

class Fault extends Error {}

/** Numbers in [0, 1) that a seed repeats (mulberry32). */
function generator(state) {
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** One thing that changes: what it was, and while a change is under way what it may become. */
class Expected {
  constructor(name, value) {
    this.name = name;
    this.old = value;
    this.next = () => false;
  }

  begin(next) {
    this.next = next;
  }

  /** From now on only this is right. */
  settled(value) {
    this.old = value;
    this.next = () => false;
  }

  /** "old", "new" or "torn". */
  judge(value) {
    if (value === this.old) return "old";
    return this.next(value) ? "new" : "torn";
  }
}

class Board {
  constructor(number, dir) {
    this.random = generator(seed + number);
    this.dir = dir;
    this.disks = ["state", "boot"].map((name) => new Disk(name, readFileSync(join(out, `${name}.img`))));
    this.version = new Expected("version", "1.0");
    this.before = "1.0";
    this.config = new Expected("settings", "none");
    this.household = new Expected("household", "0");
    /** The change under way, and whether a boot after a cut has still to be counted for it. */
    this.underWay = "nothing";
  }

  socket(disk) {
    return join(this.dir, `${disk.name}.socket`);
  }

  async live(enough) {
    for (const disk of this.disks) await disk.listen(this.socket(disk));
    try {
      while (!enough()) {
        await this.boot(enough);
        if (this.random() < 0.4) this.editCard();
      }
    } finally {
      for (const disk of this.disks) disk.close();
    }
  }

  /** Between two boots a person may put the card into a computer and write other settings on it. */
  editCard() {
    const image = join(this.dir, "card.img");
    const disk = this.disks[1];
    writeFileSync(image, disk.lasting);
    const number = 1 + Math.floor(this.random() * 6);
    try {
      execFileSync("fsck.fat", ["-a", image], { stdio: "pipe" });
    } catch (error) {
      // 1: repaired.
      if (error.status !== 1) throw error;
    }
    execFileSync("mcopy", ["-o", "-i", image, join(out, `config/${number}.toml`), "::callbox.toml"]);
    disk.replace(readFileSync(image));
  }

  /** When the next cut comes: a while after the start, or after the n-th change has begun. */
  plan() {
    if (this.random() < 0.1) return { change: 0, delay: this.random() * 15_000 };
    // The writes of an update, then the seconds of its trial, then its end. Settings take less.
    const spread = this.random() < 0.5 ? 2_000 : 10_000;
    return { change: 1 + Math.floor(this.random() * 6), delay: this.random() * spread };
  }

  async boot(enough) {
    const cut = this.plan();
    const interruptedChange = this.underWay;
    this.underWay = "nothing";
    const options = `console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off cryptomgr.notests clocksource=acpi_pm tsc=unstable nosoftlockup \
power.seed=${Math.floor(this.random() * 30000)} power.mode=${naive ? "naive" : "real"}`;
    // No kvm: where it is offered inside other virtual machines it may hang.
    const qemu = spawn("qemu-system-x86_64", [
      ..."-machine pc,accel=tcg -cpu Westmere -m 256 -nodefaults -no-user-config -display none -no-reboot".split(" "),
      ...["-serial", "stdio", "-kernel", join(out, "vmlinux"), "-initrd", join(out, "initrd"), "-append", options],
      ...this.disks.flatMap((disk) => ["-drive", `if=virtio,format=raw,file=nbd:unix:${this.socket(disk)}`]),
      ...["-drive", `if=virtio,format=raw,readonly=on,file=${join(out, "packages.img")}`],
    ], { stdio: ["ignore", "pipe", "pipe"] });
    running.add(qemu);
    qemu.on("close", () => running.delete(qemu));
    const started = Date.now();
    const tail = [];
    let fault;
    let up = false;
    let changes = cut.change;
    const stop = () => qemu.kill("SIGKILL");
    const hang = () => {
      fault ??= new Fault(`no word from the guest for ${SILENCE / 1000} s`);
      stop();
    };
    let timer = changes === 0 ? setTimeout(stop, cut.delay) : undefined;
    const silence = setTimeout(hang, SILENCE);
    qemu.stderr.on("data", (text) => tail.push(String(text)));
    const lines = createInterface({ input: qemu.stdout });
    lines.on("line", (line) => {
      tail.push(line);
      if (process.env.VERBOSE) console.log(`${this.dir.slice(-1)} ${((Date.now() - started) / 1000).toFixed(2)} ${line}`);
      const said = /^power: (.*?)\r?$/.exec(line)?.[1];
      if (said === undefined || fault) return;
      silence.refresh();
      try {
        const what = this.hear(said, interruptedChange);
        up ||= what === "up";
        if (what === "doing" && (changes -= 1) === 0) timer = setTimeout(stop, cut.delay);
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        fault = error;
        stop();
      }
    });
    // Lines that were on their way when the power went have been said before it did.
    const ends = (emitter) => new Promise((resolve) => emitter.on("close", resolve));
    await Promise.all([ends(lines), ends(qemu)]);
    clearTimeout(timer);
    clearTimeout(silence);
    if (!fault && qemu.signalCode !== "SIGKILL") fault = new Fault(`QEMU ended by itself: ${qemu.exitCode}`);
    if (fault) {
      fault.board = this;
      fault.tail = tail.slice(-60);
      throw fault;
    }
    for (const disk of this.disks) disk.cut(this.random);
    if (enough()) return;
    figures.cuts += 1;
    if (up) {
      interrupted[this.underWay] += 1;
    } else {
      figures.early += 1;
      // What the cut before has interrupted is still to be looked at.
      this.underWay = interruptedChange;
    }
    if (figures.cuts % 10 === 0) console.log(`power: ${figures.cuts} cuts, ${figures.boots} boots, ${seconds()} s`);
  }

  /** Takes one line of the guest's and returns its first word. */
  hear(line, interruptedChange) {
    const [what, ...words] = line.split(" ");
    const fields = Object.fromEntries(words.map((word) => word.split("=")));
    if (what === "torn") this.fail(line);
    if (what === "odd:") odd.add(line);
    if (what === "up") this.look(fields, interruptedChange);
    if (what === "doing") {
      const [kind, value] = words;
      this.underWay = kind;
      if (kind === "config") this.config.begin((found) => found === value);
      if (kind === "household") this.household.begin((found) => found === value);
      if (kind === "update") this.version.begin((found) => found === value);
      const { before } = this;
      if (kind === "rollback") this.version.begin((found) => found === before || found === "1.0");
    }
    if (what === "done") {
      this.underWay = "nothing";
      for (const name of ["config", "household"]) {
        if (name in fields && !this[name].next(fields[name])) this.fail(`${line}, which is not what was to be done`);
      }
      const name = ["version", "config", "household"].find((each) => each in fields);
      const [expected, value] = [this[name], fields[name]];
      if (expected.judge(value) === "torn") this.fail(`${line}, where ${expected.old} was there`);
      this.settle(expected, value);
    }
    return what;
  }

  /** What a boot found. */
  look({ version, trial, config, household }, interruptedChange) {
    figures.boots += 1;
    const values = { version, config, household };
    const found = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, this[name].judge(value)]));
    for (const [name, value] of Object.entries(values)) {
      const [expected, judged] = [this[name], found[name]];
      if (judged === "torn") {
        this.fail(`a boot found ${expected.name} ${value}; ${expected.old} was there, and ${interruptedChange} under way`);
      }
    }
    if (interruptedChange !== "nothing") {
      figures[found[interruptedChange] ?? found.version] += 1;
    }
    // What is on trial may still be taken back; everything else is decided now.
    if (found.version === "old" || trial === "no") this.settle(this.version, version);
    this.settle(this.config, config);
    this.settle(this.household, household);
  }

  settle(expected, value) {
    if (expected === this.version && value !== expected.old) this.before = expected.old;
    expected.settled(value);
  }

  fail(message) {
    figures.torn += 1;
    throw new Fault(message);
  }
}

function seconds() {
  return Math.round((Date.now() - begun) / 1000);
}

function report(boards) {
  const { cuts, boots, old, new: fresh, torn, early } = figures;
  const idle = boots - old - fresh - torn;
  const list = Object.entries(interrupted).map(([kind, count]) => `${kind} ${count}`).join(", ");
  console.log(`power: seed ${seed}, ${guests} guests, ${seconds()} s`);
  console.log(`power: ${cuts} cuts: in the middle of ${list}; before the boot was through ${early}`);
  console.log(`power: ${boots} boots looked at: old state ${old}, new state ${fresh}, nothing was under way ${idle}, torn ${torn}`);
  for (const index of [0, 1]) {
    const sum = (what) => boards.reduce((total, board) => total + what(board.disks[index]), 0);
    const written = sum((disk) => disk.written) / 2 ** 20;
    console.log(`power: ${boards[0].disks[index].name} partition: ${written.toFixed(0)} MiB written, ` +
      `${sum((disk) => disk.flushes)} flushes, ${sum((disk) => disk.lost)} sectors lost in cuts`);
  }
  for (const line of odd) console.log(`power: ${line}`);
}

const dir = mkdtempSync("/tmp/callbox-power-");
const running = new Set();
const leave = () => {
  for (const qemu of running) qemu.kill("SIGKILL");
  rmSync(dir, { recursive: true, force: true });
};
process.on("exit", leave);
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => process.exit(1));
const boards = Array.from({ length: guests }, (_, number) => {
  const own = mkdtempSync(join(dir, `${number}-`));
  return new Board(number, own);
});
let failed;
const enough = () => failed || (naive ? figures.cuts >= NAIVE_CUTS : figures.boots >= wanted);
console.log(`power: seed ${seed}${naive ? ", settings written in place" : ""}`);
await Promise.all(boards.map((board) => board.live(enough).catch((error) => (failed ??= error))));
if (failed && !(failed instanceof Fault)) throw failed;
report(boards);
if (naive && failed && /found settings |config=/.test(failed.message)) {
  console.log(`power: noticed after ${figures.cuts} cuts: ${failed.message}`);
} else if (naive) {
  console.log(`power: FAILED: writing in place was not noticed within ${NAIVE_CUTS} cuts: ${failed?.message ?? "nothing was"}\n${failed?.tail?.join("\n") ?? ""}`);
  process.exitCode = 1;
} else if (failed) {
  for (const disk of failed.board.disks) writeFileSync(join(out, `failed-${disk.name}.img`), disk.lasting);
  console.log(`power: FAILED: ${failed.message}\n${failed.tail.join("\n")}\npower: the disks are kept as ${out}failed-*.img`);
  process.exitCode = 1;
}
