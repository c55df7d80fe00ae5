// The line that tells how far background jobs are.

import { button, duration, make } from './dom.js';
import { ask } from './server.js';

const AGAIN_MS = 1500;
const MOST = 3;
const AT_WORK = ['waiting', 'running'];

export class JobsLine {
  constructor(app, onCases) {
    this.app = app;
    this.onCases = onCases;
    this.done = 0;
    this.element = make('div', { className: 'jobs', 'aria-label': 'Background jobs' });
  }

  show(jobs) {
    const active = jobs.filter(job => AT_WORK.includes(job.state)).reverse();
    const last = jobs[0] && !AT_WORK.includes(jobs[0].state) ? [jobs[0]] : [];
    this.element.replaceChildren(...[...active, ...(active.length ? [] : last)].slice(0, MOST).map(job => this.job(job)));
    clearTimeout(this.timer);
    if (active.length) this.timer = setTimeout(() => this.again(), AGAIN_MS);
    this.done = jobs.reduce((sum, job) => sum + job.done, 0);
  }

  async again() {
    try {
      const { jobs } = await ask('osln/jobs');
      const done = jobs.reduce((sum, job) => sum + job.done, 0), before = this.done;
      this.show(jobs);
      if (done !== before || !jobs.some(job => AT_WORK.includes(job.state))) await this.onCases();
    } catch (error) {
      this.app.tell(error.message, 'error');
      this.timer = setTimeout(() => this.again(), 5 * AGAIN_MS);
    }
  }

  job(job) {
    const running = AT_WORK.includes(job.state);
    const left = job.seconds_left ? `, ${duration(job.seconds_left)} left` : '';
    const reasons = Object.entries(job.failed).map(([name, reason]) => `${name}: ${reason}`);
    if (job.failures > reasons.length) reasons.push(`and ${job.failures - reasons.length} more, in the log`);
    return make('span', { className: `job ${job.state}`, title: reasons.join('\n') },
      make('span', { textContent: `Find nodes (${job.model}): ${job.message}${job.case ? `, now ${job.case}` : ''}${left}` }),
      running ? make('progress', { max: job.total || 1, value: job.done, 'aria-label': 'cases done' }) : null,
      running && this.app.who.may('annotator') ? button('Cancel', () => this.cancel(job)) : null,
      reasons.length ? button('Why', () => this.app.tell(reasons.join('; '), 'error')) : null);
  }

  async cancel(job) {
    await this.app.attempt(async () => {
      const now = await ask(`osln/jobs/${job.id}`, { method: 'DELETE' });
      this.app.tell(`Find nodes: ${now.message}.`);
      await this.onCases();
    });
  }
}
