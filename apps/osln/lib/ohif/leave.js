// Leaving with work that was not submitted asks: closing the page, the arrow back to the studies, the browser's back.
// Uses none of the other files.

const LEAVING = 'These decisions were not submitted. They are kept as a draft and offered again. Leave?';

// Listeners of the window are called in the order in which they came, captured or not: this one has to come before that
// of OHIF's router, so it is there since this script is read, which is before the viewer.
const BACK = { asked: null };
window.addEventListener('popstate', event => BACK.asked?.(event));

/**
 * Asks before the page or the study is left; returns what ends that.
 *
 * @param isUnsaved Whether there is something to ask about.
 */
function guardLeaving(isUnsaved) {
  const here = window.location.href;
  const onUnload = event => {
    if (isUnsaved()) event.preventDefault();
  };
  const onClick = event => {
    const leads = event.target.closest?.('[data-cy="return-to-work-list"]');
    if (!leads || !isUnsaved() || window.confirm(LEAVING)) return;
    event.preventDefault();
    event.stopPropagation();
  };
  const onBack = event => {
    if (window.location.href === here || !isUnsaved() || window.confirm(LEAVING)) return;
    // OHIF's router must not hear of it.
    event.stopImmediatePropagation();
    window.history.pushState(window.history.state, '', here);
  };
  window.addEventListener('beforeunload', onUnload);
  document.addEventListener('click', onClick, true);
  BACK.asked = onBack;
  return () => {
    window.removeEventListener('beforeunload', onUnload);
    document.removeEventListener('click', onClick, true);
    if (BACK.asked === onBack) BACK.asked = null;
  };
}
