// A table of thousands of rows of which only those in sight are elements.

import { make } from './dom.js';

export const ROW = 30;
const SPARE = 6;

export class Table {
  /**
   * columns: [{name, title, sort: row => value, cell: row => text or element, className}].
   * on: {choose(row), open(row), mark()}.
   */
  constructor(columns, on) {
    this.columns = columns;
    this.on = on;
    this.rows = [];
    this.marked = new Set();
    this.chosen = null;
    this.order = { name: null, down: false };
    this.head = make('div', { className: 'thead', role: 'row' });
    this.body = make('div', { className: 'tbody' });
    this.view = make('div', { className: 'scroll', tabIndex: 0, role: 'grid', 'aria-label': 'Cases' }, this.body);
    this.element = make('div', { className: 'table' }, this.head, this.view);
    this.view.onscroll = () => this.draw();
    new ResizeObserver(() => this.draw()).observe(this.view);
    this.body.onclick = event => this.click(event);
    this.body.ondblclick = event => {
      const row = this.at(event);
      if (row) this.on.open(row);
    };
    this.showHead();
  }

  showHead() {
    this.head.replaceChildren(...this.columns.map(({ name, title, className, sort, hint }) => {
      const active = this.order.name === name;
      const arrow = active ? (this.order.down ? ' \u2193' : ' \u2191') : '';
      const sorted = active ? (this.order.down ? 'descending' : 'ascending') : 'none';
      return make('button', { type: 'button', textContent: title + arrow, className: `cell ${className || ''}`,
        title: hint || '', role: 'columnheader', 'aria-sort': sorted, disabled: !sort, onclick: () => this.sortBy(name) });
    }));
  }

  sortBy(name) {
    this.order = { name, down: this.order.name === name && !this.order.down };
    this.showHead();
    this.fill(this.rows);
  }

  /** Shows rows, in the order that was chosen; what is chosen stays so as long as it is there. */
  fill(rows) {
    const column = this.columns.find(one => one.name === this.order.name);
    this.rows = [...rows];
    if (column) {
      const sign = this.order.down ? -1 : 1;
      const empty = value => value === null || value === undefined || value === '';
      const compare = (a, b) => (typeof a === 'number' ? a - b : String(a).localeCompare(String(b), 'en', { numeric: true }));
      this.rows.sort((one, other) => {
        const [a, b] = [column.sort(one), column.sort(other)];
        // What is not known comes last, whichever way.
        if (empty(a) || empty(b)) return empty(a) - empty(b);
        return sign * compare(a, b);
      });
    }
    this.body.style.height = `${this.rows.length * ROW}px`;
    this.view.setAttribute('aria-rowcount', this.rows.length);
    this.draw();
  }

  draw() {
    const first = Math.max(0, Math.floor(this.view.scrollTop / ROW) - SPARE);
    const last = Math.min(this.rows.length, Math.ceil((this.view.scrollTop + this.view.clientHeight) / ROW) + SPARE);
    this.body.replaceChildren(...this.rows.slice(first, last).map((row, n) => this.line(row, first + n)));
    const place = this.place();
    this.view.setAttribute('aria-activedescendant', place < 0 ? '' : `row-${place}`);
  }

  line(row, place) {
    const chosen = row.case === this.chosen;
    const line = make('div', { className: `line${chosen ? ' chosen' : ''}`, id: `row-${place}`, role: 'row',
      'aria-selected': String(chosen), 'aria-rowindex': place + 1 });
    line.style.top = `${place * ROW}px`;
    line.append(...this.columns.map(({ cell, className }) => {
      const content = cell(row);
      const text = typeof content === 'string';
      return make('span', { className: `cell ${className || ''}`, role: 'gridcell', title: text ? content : '' }, content ?? '');
    }));
    return line;
  }

  place() {
    return this.rows.findIndex(row => row.case === this.chosen);
  }

  at(event) {
    const line = event.target.closest('.line');
    return line ? this.rows[Math.round(parseFloat(line.style.top) / ROW)] : null;
  }

  click(event) {
    const row = this.at(event);
    if (!row) return;
    if (event.target.closest('.mark')) this.mark(row);
    else if (!event.target.closest('a')) this.choose(row.case);
  }

  mark(row) {
    if (!this.marked.delete(row.case)) this.marked.add(row.case);
    this.draw();
    this.on.mark();
  }

  /** Marks all rows that are shown, or none of them if they are all marked. */
  markAll() {
    const all = this.rows.every(row => this.marked.has(row.case));
    for (const row of this.rows) {
      if (all) this.marked.delete(row.case);
      else this.marked.add(row.case);
    }
    this.draw();
    this.on.mark();
  }

  unmark() {
    this.marked.clear();
    this.draw();
    this.on.mark();
  }

  choose(name) {
    this.chosen = name;
    const place = this.place();
    if (place >= 0) this.bringIntoSight(place);
    this.draw();
    this.on.choose(this.rows[place] || null);
  }

  bringIntoSight(place) {
    const { scrollTop, clientHeight } = this.view, top = place * ROW;
    if (top < scrollTop) this.view.scrollTop = top;
    else if (top + ROW > scrollTop + clientHeight) this.view.scrollTop = top + ROW - clientHeight;
  }

  /** Moves the choice by a key; returns whether it was one for that. */
  move(key) {
    const page = Math.max(1, Math.floor(this.view.clientHeight / ROW) - 1), place = this.place();
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (!(key in steps)) return false;
    const wanted = place < 0 && steps[key] !== Infinity ? 0 : place + steps[key];
    const row = this.rows[Math.min(Math.max(wanted, 0), this.rows.length - 1)];
    if (row) this.choose(row.case);
    return true;
  }
}
