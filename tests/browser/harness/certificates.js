/** Certificates as people make them with openssl, and browsers that trust an authority because a person told them to. */

import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** @param {string} program @param {string[]} words @param {string} directory where it runs */
function run(program, words, directory) {
  execFileSync(program, words, { cwd: directory, timeout: 20_000, stdio: ['ignore', 'ignore', 'pipe'] });
}

const FRESH_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/**
 * What `openssl req -x509` makes by itself: signed with its own key, an authority by its own words, no names but in its
 * subject. Files NAME.pem and NAME.key.
 * @param {string} directory
 * @param {string} name
 */
export function makeSelfSigned(directory, name) {
  run('openssl', ['req', '-x509', ...FRESH_KEY, '-keyout', `${name}.key`, '-out', `${name}.pem`, '-days', '2', '-subj', `/CN=${name}.test`], directory);
  return { cert: join(directory, `${name}.pem`), key: join(directory, `${name}.key`) };
}

/**
 * A certificate for NAME.test, signed by an authority in `authority`.
 * @param {string} directory
 * @param {string} name
 */
export function makeSigned(directory, name) {
  const authority = makeSelfSigned(directory, `${name}-authority`);
  const [request, names] = [`${name}.csr`, `${name}.ext`];
  writeFileSync(join(directory, names), `basicConstraints = CA:FALSE\nsubjectAltName = DNS:${name}.test\n`);
  run('openssl', ['req', ...FRESH_KEY, '-keyout', `${name}.key`, '-out', request, '-subj', `/CN=${name}.test`], directory);
  const signer = ['-CA', authority.cert, '-CAkey', authority.key, '-CAcreateserial'];
  run('openssl', ['x509', '-req', '-in', request, ...signer, '-days', '2', '-extfile', names, '-out', `${name}.pem`], directory);
  return { cert: join(directory, `${name}.pem`), key: join(directory, `${name}.key`), authority: authority.cert };
}

/**
 * Makes a home directory whose browsers trust an authority, as the landing page tells people on Linux to have it.
 * @param {string} home
 * @param {string} certificate the authority's, PEM
 */
export function trustIn(home, certificate) {
  const store = join(home, '.pki', 'nssdb');
  mkdirSync(store, { recursive: true });
  run('certutil', ['-d', `sql:${store}`, '-N', '--empty-password'], home);
  run('certutil', ['-d', `sql:${store}`, '-A', '-t', 'C,,', '-n', 'Callbox', '-i', certificate], home);
}
