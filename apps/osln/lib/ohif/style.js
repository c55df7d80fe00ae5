// How the panel looks.
// Uses none of the other files.

const STYLE = `
.osln { color: #eee; font: 13px/1.4 system-ui, sans-serif; padding: 10px; overflow-y: auto; height: 100%; }
.osln h3 { font-size: 12px; text-transform: uppercase; letter-spacing: .05em; color: #9bd; margin: 14px 0 6px; }
.osln h3:first-child { margin-top: 0; }
.osln label { display: flex; gap: 8px; align-items: center; margin: 4px 0; }
.osln label[hidden] { display: none; }
.osln label > span { flex: 0 0 100px; color: #bbb; }
.osln select, .osln input[type=text] { flex: 1; min-width: 0; background: #111b33; color: #eee; border: 1px solid #35507a;
  border-radius: 4px; padding: 3px 6px; }
.osln input[type=range] { flex: 1; min-width: 0; height: 16px; appearance: auto; accent-color: #4573b5; background: none;
  border: 0; padding: 0; }
.osln button { background: #1d3a66; color: #fff; border: 1px solid #4573b5; border-radius: 4px; padding: 5px 10px;
  cursor: pointer; }
.osln button:disabled { opacity: .45; cursor: default; }
.osln button.main { background: #2d6fd0; font-weight: 600; }
.osln button.on { background: #c98a00; border-color: #ffc400; }
.osln .osln-row { display: flex; gap: 6px; flex-wrap: wrap; margin: 6px 0; }
.osln .told { margin: 8px 0; padding: 6px 8px; border-left: 3px solid #4573b5; background: #0c1630; }
.osln .told.error { border-color: #e0505c; }
.osln .told.good { border-color: #4cb26a; }
.osln ol { list-style: none; margin: 6px 0; padding: 0; max-height: 20vh; overflow-y: auto; }
.osln li { display: flex; gap: 8px; padding: 4px 6px; border-radius: 4px; cursor: pointer; }
.osln li:hover, .osln li.at { background: #16274a; }
.osln li.rejected { opacity: .6; }
.osln li b { flex: 0 0 40px; }
.osln small { color: #9aa; white-space: nowrap; }
`;
