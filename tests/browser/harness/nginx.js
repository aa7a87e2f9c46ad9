/** nginx in front of a server: on loopback, with ports and files of the test's own. */

import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from './callbox.js';

/** How long it may take to start, in milliseconds. */
const PATIENCE = 20_000;
/** Debian keeps it out of an ordinary user's PATH. */
const NGINX = existsSync('/usr/sbin/nginx') ? '/usr/sbin/nginx' : 'nginx';

/** What docs/reverse-proxy.md has people write, in parts: the `map`, and the lines of `location /`. */
export function documented() {
  const document = readFileSync(new URL('../../../docs/reverse-proxy.md', import.meta.url), 'utf8');
  const block = /```nginx\n([^]*?)```/.exec(document)?.[1] ?? '';
  const map = /^map [^]*?^}/m.exec(block)?.[0];
  const lines = /location \/ {\n([^]*?)^ *}/m.exec(block)?.[1]?.split('\n').map((line) => line.trim()).filter(Boolean);
  if (!map || !lines) throw new Error('docs/reverse-proxy.md has no configuration for nginx');
  return { map, lines };
}

/**
 * Starts nginx with one address for each list of lines in `location /`.
 * @param {string} directory for its files
 * @param {string} map
 * @param {Record<string, string[]>} locations
 * @returns {Promise<{ urls: Record<string, string>, stop: () => Promise<void> }>} the page's address, by name
 */
export async function startNginx(directory, map, locations) {
  /** @type {Record<string, string>} */
  const urls = {};
  const servers = [];
  for (const [name, lines] of Object.entries(locations)) {
    const port = await freePort();
    urls[name] = `http://127.0.0.1:${port}/`;
    servers.push(`server { listen 127.0.0.1:${port}; location / { ${lines.join(' ')} } }`);
  }
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${join(directory, kind)};`);
  const file = join(directory, 'nginx.conf');
  writeFileSync(file, `daemon off; master_process off; pid ${join(directory, 'nginx.pid')}; error_log stderr warn;
events { worker_connections 256; }
http { access_log off; ${temporary.join(' ')}
${map}
${servers.join('\n')} }
`);
  const child = spawn(NGINX, ['-c', file, '-p', directory], { stdio: ['ignore', 'ignore', 'pipe'] });
  let errors = '';
  child.stderr.on('data', (text) => (errors += text));
  /** @type {Promise<void>} */
  const ended = new Promise((done) => {
    child.on('exit', () => done());
    child.on('error', (error) => {
      errors += error;
      done();
    });
  });
  const proxy = {
    urls,
    async stop() {
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), 5_000);
      await ended;
      clearTimeout(late);
    },
  };
  const [first = ''] = Object.values(urls);
  const answers = () => fetch(first, { signal: AbortSignal.timeout(1_000) }).then(() => true, () => false);
  for (const start = Date.now(); !(await answers()); ) {
    const over = child.exitCode !== null || child.pid === undefined;
    if (over || Date.now() - start > PATIENCE) {
      await proxy.stop();
      throw new Error(`nginx did not start: ${errors}`);
    }
    await new Promise((later) => setTimeout(later, 50));
  }
  return proxy;
}
