// Windows of the CT and colors of the PET, as numbers.
// Uses none of the other files.

/** Hounsfield units from black to white. */
const CT_WINDOWS = {
  'soft tissue': { lower: -160, upper: 240 },
  lung: { lower: -1350, upper: 150 },
  bone: { lower: -450, upper: 1050 },
  mediastinum: { lower: -125, upper: 225 },
};

/** Highest SUV of the PET's colors; the lowest is always 0. */
const PET_UPPERS = [5, 10, 15];
const PET_UPPER = 10;
const PET_OPACITY = 0.6;

/** Part of the PET's window below which nothing of it is seen, and from which on it has nearly its whole opacity. */
const PET_CLEAR = 0.25;
const PET_FULL = 0.5;

/** Red where the PET begins to be seen, then orange, yellow, nearly white. Below that it is clear: `petPoints`. */
const PET_MAP = {
  ColorSpace: 'RGB',
  Name: 'osln-pet',
  RGBPoints: [
    ...[0, 0.7, 0.1, 0],
    ...[0.25, 0.85, 0.2, 0],
    ...[0.45, 1, 0.45, 0],
    ...[0.75, 1, 0.85, 0.1],
    ...[1, 1, 1, 0.85],
  ],
};

/**
 * A window as DICOM's width and center: DICOM's formula ends at (width - 1) / 2 on both sides of center - 0.5, so
 * width 10 and center 5 would show 0 to 9.
 */
const toVoi = ({ lower, upper }) => ({ windowWidth: upper - lower + 1, windowCenter: (lower + upper) / 2 + 0.5 });

/** Opacity of the PET at its values: the viewer wants values, not parts of the window. */
const petPoints = (opacity, upper) => [
  { value: 0, opacity: 0 },
  { value: PET_CLEAR * upper, opacity: 0 },
  { value: PET_FULL * upper, opacity: opacity * 0.85 },
  { value: upper, opacity },
];

const petColors = (opacity, upper) => ({ name: PET_MAP.Name, opacity: petPoints(opacity, upper) });

/** What the corner says of a window in the CT's or the PET's own values; "" without one. */
const ctText = range => (range ? `CT ${Math.round(range.lower)} to ${Math.round(range.upper)}` : '');

const petText = (range, hasSuv) =>
  range ? `${hasSuv ? 'SUV' : 'no SUV,'} ${Math.round(range.lower)} to ${Number(range.upper.toPrecision(3))}` : '';
