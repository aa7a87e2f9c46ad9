// What is made of npm's word on known faults, and of its silence.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const script = fileURLToPath(new URL('../../scripts/audit-verdict.mjs', import.meta.url));

/** @param {string} input */
function verdict(input) {
    const { status, stdout } = spawnSync(process.execPath, [script], { input, encoding: 'utf8' });
    assert.equal(status, 0);
    return stdout.trim();
}

test('a fault is a finding, and no answer is none', () => {
    const report = (/** @type {number} */ total, vulnerabilities = {}) =>
        JSON.stringify({ vulnerabilities, metadata: { vulnerabilities: { total }, dependencies: { total: 4 } } });
    assert.match(verdict(report(0)), /^clean .* 4 packages/);
    assert.equal(verdict(report(1, { ws: { name: 'ws', severity: 'high' } })), '1 packages with known faults: ws (high)');
    const refused = { message: '405 Method Not Allowed', error: { summary: '', detail: '' } };
    assert.equal(verdict(JSON.stringify(refused)), 'unasked 405 Method Not Allowed');
    for (const nothing of ['', 'garbage', '{}', '{"error": {"code": "ENOTFOUND"}}']) {
        assert.match(verdict(nothing), /^unasked /);
    }
});
