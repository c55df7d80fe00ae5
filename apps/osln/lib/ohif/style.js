// How the panel looks.
// Uses none of the other files.

const STYLE = `
.osln { position: relative; color-scheme: dark; scrollbar-width: thin; color: #eee; font: 12px/1.35 system-ui, sans-serif; padding: 6px 8px; height: 100%;
  display: flex;
  flex-direction: column; gap: 2px; overflow: hidden auto; }
.osln > * { flex: none; }
.osln h3 { font-size: 13px; color: #9bd; margin: 0 0 6px; }
.osln-about { max-height: 50px; overflow-y: auto; }
.osln-small, .osln small { color: #9aa; font-size: 11px; }
.osln label { display: flex; gap: 4px; align-items: center; color: #bbb; }
.osln label[hidden] { display: none; }
.osln select, .osln input[type=text] { flex: 1; min-width: 0; background: #111b33; color: #eee;
  border: 1px solid #35507a;
  border-radius: 4px; padding: 2px 4px; font: inherit; height: 23px; }
.osln input[type=range] { flex: 1; min-width: 0; height: 14px; appearance: auto; accent-color: #4573b5;
  background: none;
  border: 0; padding: 0; }
.osln button { flex: 1 1 auto; background: #1d3a66; color: #fff; border: 1px solid #4573b5; border-radius: 4px;
  padding: 1px 5px;
  cursor: pointer; font: inherit; height: 23px; white-space: nowrap; }
.osln button.osln-narrow { flex: 0 0 26px; }
.osln .osln-row select { flex: 0 1 84px; }
.osln .osln-row select.osln-wide { flex: 1 0 82px; }
.osln button:disabled { opacity: .45; cursor: default; }
.osln button.main { background: #2d6fd0; font-weight: 600; }
.osln button.on { background: #c98a00; border-color: #ffc400; }
.osln button:focus-visible, .osln select:focus-visible, .osln input:focus-visible, .osln-list:focus-visible {
  outline: 2px solid #ffc400; outline-offset: 1px; }
.osln .osln-row { display: flex; gap: 4px; align-items: center; }
.osln .osln-row > .osln-small { flex: 1; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.osln .osln-said { position: sticky; bottom: 0; }
.osln .told { padding: 3px 6px; border-left: 3px solid #4573b5; background: #0c1630; max-height: 84px;
  overflow-y: auto; }
.osln .told.error { border-color: #e0505c; }
.osln .told.good { border-color: #4cb26a; }
.osln .osln-list { flex: 1 0 302px; min-height: 302px; overflow: hidden auto;
  scrollbar-width: thin; border: 1px solid #24365a; }
@media (max-height: 700px) { .osln .osln-list { flex-basis: 162px; min-height: 162px; } }
.osln-line { display: grid; grid-template-columns: 14px 34px 37px 30px 35px 1fr; gap: 3px; height: 20px;
  align-items: center; white-space: nowrap;
  border-left: 3px solid transparent; padding: 0 4px 0 1px; text-align: right; cursor: pointer; }
.osln-line > :first-child { text-align: center; }
.osln-line > :last-child { text-align: left; padding-left: 4px; }
.osln-head { color: #9bd; height: 16px; cursor: default; padding-right: 12px; }
.osln-list [role=option]:hover { background: #101d3a; }
.osln-list [aria-selected=true] { background: #24458a; box-shadow: inset 3px 0 #fff; }
.osln-list .undecided { color: #ffd24a; }
.osln-list .accepted { color: #7fe0a0; }
.osln-list .edited, .osln-list .added { color: #8ad0ff; }
.osln-list [data-proposed] .osln-line { border-left-color: #6ab7ff; }
.osln-list [data-below] .osln-line { opacity: 0.65; }
.osln-list .rejected { color: #99a; text-decoration: line-through; }
.osln-details { padding: 0 6px 4px 22px; color: #cde; font-size: 11px; text-decoration: none; }
.osln-none { padding: 6px; color: #9aa; }
.osln-shade { position: absolute; inset: 0; background: #000a; z-index: 5; display: flex; align-items: center;
  padding: 8px; }
.osln-box { background: #0c1630; border: 1px solid #4573b5; border-radius: 6px; padding: 10px; width: 100%;
  max-height: 100%;
  overflow-y: auto; }
.osln-box .osln-row { flex-wrap: wrap; margin-top: 8px; }
.osln-box button { white-space: normal; height: auto; min-height: 24px; }
.osln-past { list-style: none; margin: 6px 0; padding: 0; max-height: 320px; overflow-y: auto; }
.osln-past li { padding: 3px 0; border-bottom: 1px solid #24365a; }
.osln-past li button { width: 100%; text-align: left; }
.osln-meet li { display: flex; gap: 4px; align-items: center; }
.osln-meet li button { flex: 0 0 26px; }
.osln-meet li span { flex: 1; }
.osln-meet li select { flex: 0 0 68px; }
.osln-keys { border-collapse: collapse; width: 100%; table-layout: fixed; font-size: 11px; line-height: 1.25; }
.osln-keys td { padding: 1px 8px 1px 0; vertical-align: top; }
.osln-keys td:first-child { color: #ffd24a; width: 92px; }
`;
