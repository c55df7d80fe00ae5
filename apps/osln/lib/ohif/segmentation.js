// The label map that the annotator edits: one for each CT, in OHIF's own segmentation service.
// Uses geometry.js: gridOfVolume, writeNrrd; view.js: setOverlay.

const SEGMENTS = {
  1: { label: 'lymph node', color: [255, 196, 0, 255] },
  2: { label: 'tumor', color: [220, 60, 60, 255] },
  3: { label: 'rejected candidate', color: [120, 140, 255, 255] },
};
const TUMOR = 2;
const UNDO_STEPS = 40;

const LABELMAP = () => window.cornerstoneTools.Enums.SegmentationRepresentations.Labelmap;

class EditedLabels {
  /**
   * @param services OHIF's services.
   * @param displaySet The CT.
   * @param viewports Ids of the viewports that show it.
   */
  constructor(services, displaySet, viewports) {
    this.services = services;
    this.displaySet = displaySet;
    this.viewports = viewports;
    this.id = `osln-${displaySet.SeriesInstanceUID}`;
    this.undoStack = [];
    this.tumorDrawn = false;
  }

  /** Makes the label map and shows it in all viewports; does nothing the second time. */
  async show() {
    const { segmentationService } = this.services;
    if (!segmentationService.getSegmentation(this.id)) {
      const segments = Object.entries(SEGMENTS).map(([index, segment]) => [
        index,
        { segmentIndex: Number(index), active: index === '1', locked: false, ...segment },
      ]);
      await segmentationService.createLabelmapForDisplaySet(this.displaySet, {
        segmentationId: this.id,
        label: 'Lymph nodes',
        segments: Object.fromEntries(segments),
      });
    }
    for (const viewport of this.viewports) {
      const there = segmentationService.getSegmentationRepresentations(viewport, { segmentationId: this.id });
      if (!there.length) {
        await segmentationService.addSegmentationRepresentation(viewport, {
          segmentationId: this.id,
          type: LABELMAP(),
        });
      }
    }
    setOverlay(this.services);
    this.before = this.values();
  }

  get volume() {
    return this.services.segmentationService.getLabelmapVolume(this.id);
  }

  get grid() {
    return gridOfVolume(this.volume);
  }

  /** A copy of all voxels, in the order of `grid`. */
  values() {
    return Uint8Array.from(this.volume.voxelManager.getCompleteScalarDataArray());
  }

  /** Begins with a stored label. */
  load(values) {
    this.write(values);
    this.before = this.values();
  }

  /** Replaces the values; those not given by `keep` are taken from the new ones. */
  replace(values, keep = []) {
    const old = this.values();
    if (keep.length) {
      for (let n = 0; n < old.length; n++) {
        if (keep.includes(old[n]) && !values[n]) values[n] = old[n];
      }
    }
    this.write(values);
    this.remember();
  }

  /** Viewports forget the colors that they are given before they have drawn the label map for the first time. */
  color() {
    for (const viewport of this.viewports) {
      for (const [index, { color }] of Object.entries(SEGMENTS)) {
        this.services.segmentationService.setSegmentColor(viewport, this.id, Number(index), color);
      }
    }
  }

  write(values) {
    const { eventTarget, triggerEvent } = window.cornerstone;
    this.volume.voxelManager.setCompleteScalarDataArray(values);
    triggerEvent(eventTarget, window.cornerstoneTools.Enums.Events.SEGMENTATION_DATA_MODIFIED, {
      segmentationId: this.id,
    });
    this.color();
  }

  /** Notes what has changed since the last call as one step that can be undone; returns whether anything has. */
  remember() {
    const now = this.values();
    const places = [];
    for (let n = 0; n < now.length; n++) {
      if (now[n] === this.before[n]) continue;
      places.push(n);
      // A node that is painted over the tumor does not make the tumor smaller.
      if (now[n] === TUMOR || (this.before[n] === TUMOR && !now[n])) this.tumorDrawn = true;
    }
    if (!places.length) return false;
    this.undoStack.push({ places: Uint32Array.from(places), old: Uint8Array.from(places, n => this.before[n]) });
    if (this.undoStack.length > UNDO_STEPS) this.undoStack.shift();
    this.before = now;
    return true;
  }

  /** Takes the last step back; returns whether there was one. */
  undo() {
    const step = this.undoStack.pop();
    if (!step) return false;
    const values = this.values();
    step.places.forEach((place, n) => {
      values[place] = step.old[n];
    });
    this.write(values);
    this.before = values;
    return true;
  }

  /** The segment that the brush paints. */
  paint(index) {
    const { segmentationService } = this.services;
    for (const viewport of this.viewports) segmentationService.setActiveSegmentation(viewport, this.id);
    segmentationService.setActiveSegment(this.id, index);
  }

  /** What is submitted: the file, and the names of the values that are in it. A tumor that was only shown is not. */
  submission() {
    const values = this.values().map(value => (value === TUMOR && !this.tumorDrawn ? 0 : value));
    const present = new Set(values);
    const info = Object.entries(SEGMENTS)
      .map(([index, { label }]) => ({ name: label, idx: Number(index) }))
      // Nodes are named even if there are none: a patient without nodes is an answer too.
      .filter(({ idx }) => idx === 1 || present.has(idx));
    return { file: writeNrrd(values, this.grid), info };
  }
}
