// What `npm audit --json` says, in one line: "clean ..", "unasked ..", or what was found.
import { readFileSync } from 'node:fs';

/** @param {string} text */
export function verdict(text) {
    let report;
    try {
        report = JSON.parse(text);
    } catch {
        return 'unasked npm gave no answer';
    }
    const counts = report.metadata?.vulnerabilities;
    if (report.error || !counts) {
        return `unasked ${report.message ?? report.error?.summary ?? 'the registry answered nothing of use'}`.replace(/\s+/g, ' ');
    }
    if (counts.total === 0) return `clean none of ${report.metadata.dependencies?.total ?? '?'} packages has a known fault`;
    const names = Object.values(report.vulnerabilities ?? {}).map(({ name, severity }) => `${name} (${severity})`);
    return `${counts.total} packages with known faults: ${names.join(', ')}`;
}

console.log(verdict(readFileSync(0, 'utf8')));
