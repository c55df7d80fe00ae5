// One key for each thing that is done often; `?` shows them.
// Uses none of the other files.

/** [keys, name of the action, what it does]; a key is KeyboardEvent.key, with Ctrl+ or Shift+ where those are held. */
const KEYS = [
  [['Shift+F'], 'find', 'find nodes'],
  [['n', 'ArrowDown'], 'next', 'next candidate'],
  [['p', 'ArrowUp'], 'previous', 'previous candidate'],
  [['a'], 'accept', 'accept'],
  [['r'], 'reject', 'reject'],
  [['u'], 'undecide', 'make undecided again'],
  [['z', 'Ctrl+z'], 'undo', 'undo'],
  [['Shift+Z', 'y', 'Ctrl+Shift+Z', 'Ctrl+y'], 'redo', 'redo'],
  [['+', 'c'], 'add', 'add a missed node by click'],
  [['Enter'], 'take', 'take the outline of a click'],
  [['Escape'], 'drop', 'drop the outline of a click'],
  [['Delete', 'x'], 'remove', 'delete an added node'],
  [['s'], 'split', 'split in two'],
  [['m'], 'join', 'merge with the node it touches'],
  [['j'], 'jump', 'center and zoom on it'],
  [['i'], 'details', 'tags and more about it'],
  [['o'], 'overlay', 'nodes on and off'],
  [['f'], 'fill', 'nodes filled or as outlines'],
  [['t'], 'pet', 'PET on and off'],
  [['1', '2', '3', '4'], 'window', 'CT: soft tissue, mediastinum, lung, bone'],
  [['w'], 'suv', 'PET up to SUV 5, 10, 15'],
  [[',', '.'], 'opacity', 'PET fainter, stronger'],
  [['d'], 'border', '70 mm around the tumor'],
  [['q'], 'tumor', 'tumor on and off'],
  [['h'], 'crosshair', 'crosshair on and off'],
  [['g'], 'mip', 'PET maximum on and off'],
  [['b'], 'brush', 'brush'],
  [['e'], 'erase', 'eraser'],
  [['l'], 'look', 'mouse for window and level'],
  [['Ctrl+Enter'], 'submit', 'submit (asks)'],
  [['Shift+N'], 'nextCase', 'next case (asks)'],
  [['?'], 'help', 'this list'],
];

const ACTIONS = new Map(KEYS.flatMap(([keys, action]) => keys.map(key => [key, action])));

/** What a pressed key is called in the table. */
function keyName({ key, ctrlKey, metaKey, shiftKey, altKey }) {
  if (altKey) return null;
  const held = `${ctrlKey || metaKey ? 'Ctrl+' : ''}${shiftKey && /^[A-Za-z]$/.test(key) ? 'Shift+' : ''}`;
  const letter = /^[A-Za-z]$/.test(key) ? (shiftKey ? key.toUpperCase() : key.toLowerCase()) : key;
  return held + letter;
}

const MOVES_SLIDER = /^(Arrow|Page|Home|End)/;

/** Whether a key belongs to the element that has the focus: letters are text there, arrows move a slider. */
function isTyping({ target, key }) {
  if (target?.isContentEditable || ['TEXTAREA', 'SELECT'].includes(target?.tagName)) return true;
  if (target?.tagName !== 'INPUT') return false;
  return target.type === 'range' ? MOVES_SLIDER.test(key) : !['checkbox', 'radio', 'button'].includes(target.type);
}

/**
 * Calls an action for its key, before OHIF or the page see it; returns what ends that.
 *
 * @param act Called with the name of an action and the event; returns whether it was meant.
 */
function listenToKeys(act) {
  const listener = event => {
    if (isTyping(event)) return;
    const action = ACTIONS.get(keyName(event));
    if (!action || event.isComposing || !act(action, event)) return;
    event.preventDefault();
    event.stopPropagation();
  };
  document.addEventListener('keydown', listener, true);
  return () => document.removeEventListener('keydown', listener, true);
}
