// The label map as OHIF shows it: one for each CT, in its segmentation service; a value for each node, the tumor 255.
//
// What it holds is decided by the review; here it is copied into the viewer, and strokes are read back.
// Uses geometry.js: gridOfVolume; nodes.js: TUMOR; view.js: LOOK, setOverlay.

const COLORS = {
  undecided: [255, 196, 0, 255],
  accepted: [70, 205, 110, 255],
  edited: [80, 190, 255, 255],
  added: [80, 190, 255, 255],
  rejected: [140, 140, 150, 255],
  tumor: [220, 60, 60, 255],
  proposal: [255, 90, 220, 255],
};
const HIGHLIGHT = [255, 255, 255, 255];

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
    this.looks = new Map();
  }

  /** Makes the label map and shows it in all viewports; does nothing the second time. */
  async show() {
    const { segmentationService } = this.services;
    if (!segmentationService.getSegmentation(this.id)) {
      const segment = (_, n) => [
        n + 1,
        {
          segmentIndex: n + 1,
          active: n === 0,
          locked: false,
          label: n + 1 === TUMOR ? 'tumor' : `lymph node ${n + 1}`,
        },
      ];
      await segmentationService.createLabelmapForDisplaySet(this.displaySet, {
        segmentationId: this.id,
        label: 'Lymph nodes',
        segments: Object.fromEntries(Array.from({ length: TUMOR }, segment)),
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

  /** Replaces all voxels. */
  write(values) {
    this.volume.voxelManager.setCompleteScalarDataArray(values);
    this.changed();
  }

  /** Replaces some voxels, from a map of all. */
  put(places, map) {
    if (!places.length) return;
    const { voxelManager, dimensions } = this.volume;
    const slices = new Set();
    for (const place of places) {
      voxelManager.setAtIndex(place, map[place]);
      slices.add(Math.floor(place / (dimensions[0] * dimensions[1])));
    }
    this.changed([...slices]);
  }

  changed(slices) {
    const { eventTarget, triggerEvent } = window.cornerstone;
    const detail = { segmentationId: this.id, ...(slices && { modifiedSlicesToUse: slices }) };
    triggerEvent(eventTarget, window.cornerstoneTools.Enums.Events.SEGMENTATION_DATA_MODIFIED, detail);
  }

  /**
   * Colors of nodes by their state, and which of them are seen.
   *
   * @param candidates All of them.
   * @param isShown Whether one is.
   * @param selected Id of the one that is white.
   */
  color(candidates, isShown, selected) {
    const looks = new Map([[TUMOR, { color: COLORS.tumor, visible: LOOK.tumor }]]);
    for (const candidate of candidates) {
      if (candidate.value === null) continue;
      const color = candidate.id === selected ? HIGHLIGHT : COLORS[candidate.state];
      looks.set(candidate.value, { color, visible: candidate.id === selected || isShown(candidate) });
    }
    this.paintLooks(looks);
  }

  /** The proposal of a click, before it is a node. */
  colorProposal(value) {
    this.paintLooks(new Map([[value, { color: COLORS.proposal, visible: true }]]));
  }

  paintLooks(looks) {
    const changed = [...looks].filter(([value, look]) => {
      const former = this.looks.get(value);
      return !former || former.visible !== look.visible || former.color.join() !== look.color.join();
    });
    for (const [value, look] of changed) this.looks.set(value, look);
    const { segmentation } = window.cornerstoneTools;
    for (const viewport of this.viewports) {
      for (const [value, { color, visible }] of changed) {
        for (const representation of segmentation.state.getSegmentationRepresentations(viewport, {
          segmentationId: this.id,
        })) {
          if (representation.segments[value]) representation.segments[value].visible = visible;
          const kept = segmentation.config.color.getSegmentIndexColor(viewport, this.id, value);
          color.forEach((part, n) => (kept[n] = part));
        }
      }
      if (changed.length)
        segmentation.triggerSegmentationEvents.triggerSegmentationRepresentationModified(viewport, this.id, LABELMAP());
    }
  }

  /** Viewports forget the colors that they were given before they had drawn the label map for the first time. */
  forgetLooks() {
    this.looks.clear();
  }

  /** The value that the brush paints. */
  paint(value) {
    const { segmentationService } = this.services;
    for (const viewport of this.viewports) segmentationService.setActiveSegmentation(viewport, this.id);
    segmentationService.setActiveSegment(this.id, value);
  }
}
