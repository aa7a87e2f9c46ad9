// Tests that are steps of one story, run in their order: the first that fails ends it.

import { test } from 'node:test';

/** Whether a step has failed. */
export let failed = false;

/** A step of the story; `timeout` in milliseconds. */
export function step(name, run, timeout = 300_000) {
  test(name, { timeout }, async (t) => {
    if (failed) return t.skip('an earlier step failed');
    failed = true;
    await run(t);
    failed = false;
  });
}
