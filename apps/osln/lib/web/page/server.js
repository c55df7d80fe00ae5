// What the page asks the server; whatever goes wrong becomes an error with a sentence.

export async function ask(path, { method = 'GET', body } = {}) {
  let reply;
  const headers = body === undefined ? {} : { 'Content-Type': 'application/json' };
  try {
    reply = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Error('The server does not answer: is it running? This page goes on when it does.');
  }
  if (reply.status === 401) {
    location.assign(`/login?next=${encodeURIComponent('/' + location.hash)}`);
    throw new Error('Log in first.');
  }
  const text = await reply.text();
  let content = null;
  try {
    content = text ? JSON.parse(text) : null;
  } catch {
    // No JSON: the status says enough.
  }
  if (reply.ok) return content;
  throw new Error(typeof content?.detail === 'string' && content.detail ? content.detail : `The server failed with status ${reply.status}: its log says why.`);
}

const RANKS = ['annotator', 'reviewer', 'admin'];

/** Who asks: name and role; without accounts everybody may do everything and types a name. */
export class Who {
  static KEY = 'osln-annotator';

  async load() {
    const [{ enabled }, { username, roles }] = await Promise.all([ask('auth/'), ask('auth/token/valid')]);
    this.accounts = enabled;
    this.rank = Math.max(...roles.map(role => RANKS.indexOf(role)));
    this.account = username;
  }

  get name() {
    return this.accounts ? this.account : (localStorage.getItem(Who.KEY) || '').trim();
  }

  set name(text) {
    localStorage.setItem(Who.KEY, text.trim());
  }

  may(role) {
    return this.rank >= RANKS.indexOf(role);
  }
}
