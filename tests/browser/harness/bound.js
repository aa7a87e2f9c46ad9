/**
 * Loaded before each test file (see package.json): a test that hangs ends its file and is named, instead of holding up
 * everything for ever. Node's own `--test-timeout` is younger than the oldest Node these tests run with, and leaves
 * browsers behind that keep the file from ending.
 */

import { afterEach, beforeEach } from 'node:test';

/** Many times what the longest test takes on a busy machine, in milliseconds. */
const TEST = Number(process.env.CALLBOX_TEST_BOUND ?? 300_000);
/** What hangs outside of tests, in a hook for one, is found by this. */
const FILE = 6 * TEST;

// The process that only starts the others loads this too.
if (process.env.NODE_TEST_CONTEXT) {
  let name = 'no test yet';
  /** @type {NodeJS.Timeout} */
  let bound;
  beforeEach((test) => {
    name = test.name;
    bound = setTimeout(() => end(`"${name}" has not ended after ${TEST / 1000} s`), TEST);
  });
  afterEach(() => clearTimeout(bound));
  setTimeout(() => end(`the file has not ended after ${FILE / 1000} s; the last test was: ${name}`), FILE).unref();
}

/** @param {string} why */
function end(why) {
  console.error(`hanging: ${why}`);
  process.exit(1);
}
