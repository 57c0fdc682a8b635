/** The style of every page. It is part of the page: a file needs no other file. */
export const STYLE = `
:root{--bg:#fff;--card:#f6f8fa;--line:#d8dee4;--text:#1f2328;--soft:#57606a;--link:#0757b0;--up:#1a7f37;--some:#bf8700;
--down:#cf222e;--none:#c5ccd3;--stale:#8a5a00;--stale-bg:#fff4d6;--down-bg:#ffebe9;--up-bg:#e9f7ec;--none-bg:#eef1f4;
--dns:#8a63d2;--connect:#2f81f7;--tls:#1b9aaa;--first:#e3a008;--body:#d6649a}
@media(prefers-color-scheme:dark){:root{--bg:#0d1117;--card:#151b23;--line:#30363d;--text:#e6edf3;--soft:#9da7b1;
--link:#6cb1ff;--up:#3fb950;--some:#d29922;--down:#ff6a62;--none:#3d444d;--stale:#e3b341;--stale-bg:#2b2208;
--down-bg:#3a1416;--up-bg:#0f2a17;--none-bg:#1e252e;--dns:#a78bfa;--connect:#58a6ff;--tls:#39c5cf;--first:#e3b341;
--body:#f778ba}}
*{box-sizing:border-box}
body{margin:0 auto;padding:0 20px 32px;max-width:1240px;background:var(--bg);color:var(--text);
font:14px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif;font-variant-numeric:tabular-nums}
a{color:var(--link);text-decoration:none}a:hover{text-decoration:underline}
a:focus-visible,button:focus-visible,input:focus-visible,select:focus-visible,summary:focus-visible{outline:2px solid var(--link);outline-offset:2px}
header{display:flex;justify-content:space-between;align-items:baseline;gap:16px;padding:14px 0}
header p{margin:0}header a{font-weight:600;font-size:15px;color:var(--text)}.at,.soft{color:var(--soft)}
footer{margin-top:28px;border-top:1px solid var(--line);color:var(--soft)}
footer a{text-decoration:underline}
h1{font-size:26px;line-height:1.2;margin:0;font-weight:650;overflow-wrap:anywhere}
h2{font-size:16px;margin:28px 0 10px;font-weight:600}
.banner{border-radius:10px;padding:18px 20px;border-left:8px solid var(--none);background:var(--none-bg)}
.banner p{margin:6px 0 0}
.banner.down{background:var(--down-bg);border-color:var(--down)}.banner.down h1{color:var(--down)}
.banner.stale{background:var(--stale-bg);border-color:var(--stale)}.banner.stale h1{color:var(--stale)}
.banner.up{background:var(--up-bg);border-color:var(--up)}.banner.up h1{color:var(--up)}
.state{display:inline-block;min-width:52px;padding:1px 8px;border-radius:99px;font-size:12px;font-weight:600;text-align:center;
white-space:nowrap;color:var(--soft);background:var(--none-bg)}
.state.up{color:var(--up);background:none;font-weight:500}
.state.down{color:#fff;background:#cf222e}.state.stale{color:var(--stale);background:var(--stale-bg)}
.state.maintenance{color:var(--link);background:var(--none-bg)}
.now{list-style:none;margin:14px 0 0;padding:0}
.now li{display:grid;grid-template-columns:minmax(0,5fr) minmax(0,4fr) 300px;gap:2px 20px;padding:7px 0;border-top:1px solid var(--line)}
.now a{font-weight:600;color:var(--text);overflow-wrap:anywhere}.now .why{color:var(--down);overflow-wrap:anywhere}
.now .since{color:var(--soft);white-space:nowrap;text-align:right}
form{display:flex;flex-wrap:wrap;gap:8px 12px;align-items:end;margin:24px 0 10px}
form h2{margin:0 auto 4px 0}
label{display:grid;gap:2px;font-size:12px;color:var(--soft)}
input,select,button{font:inherit;color:var(--text);background:var(--bg);border:1px solid var(--soft);border-radius:6px;padding:5px 9px;min-height:32px}
input{width:230px;max-width:100%}button{background:var(--card);cursor:pointer}
table{border-collapse:collapse;width:100%}
caption{text-align:left;color:var(--soft);padding:0 0 8px;font-size:13px}
th{font-weight:500;font-size:12px;color:var(--soft);text-align:left;white-space:nowrap}
th,td{padding:6px 10px;border-bottom:1px solid var(--line);vertical-align:middle}
th:first-child,td:first-child{padding-left:0}th:last-child,td:last-child{padding-right:0}
tbody th{font-size:14px;color:var(--text)}
.n{text-align:right;white-space:nowrap}
.hosts tbody th{white-space:normal;min-width:180px;max-width:340px;overflow-wrap:anywhere}
.hosts tbody th a{color:var(--text)}
.hosts .why{display:block;font-size:12px;color:var(--soft);font-weight:400}
.hosts tr.down .why{color:var(--down)}
.bars-cell{width:27%;min-width:190px}
.bars{display:block;width:100%;height:20px}
.bars path{fill:none;stroke-dasharray:3 1}
.bars .up{stroke:var(--up);stroke-width:13}.bars .some{stroke:var(--some);stroke-width:17}
.bars .down{stroke:var(--down);stroke-width:20}.bars .none{stroke:var(--none);stroke-width:4}
.large-bars{display:block;width:100%;height:44px}
.large-bars .up{fill:var(--up)}.large-bars .some{fill:var(--some)}.large-bars .down{fill:var(--down)}.large-bars .none{fill:var(--none)}
.ends{display:flex;justify-content:space-between;color:var(--soft);font-size:12px;margin:4px 0 0}
.latency{display:flex;align-items:center;justify-content:flex-end;gap:10px}
.latency>span{min-width:52px}
.why-head{width:45%}
.state.up,td .state{text-align:left}
td .state.up,.banner .state.up{padding-left:0}
.hosts td .state{text-align:center}.hosts td .state.up{padding-left:8px}
.spark{width:84px;height:20px;flex:none}
.spark path{fill:none;stroke:var(--connect);stroke-width:1.5;vector-effect:non-scaling-stroke}
.warn{color:var(--stale);font-weight:600}.bad{color:var(--down);font-weight:600}
.pages{display:flex;flex-wrap:wrap;gap:6px;list-style:none;margin:14px 0 0;padding:0}
.pages a,.pages span{display:block;min-width:34px;padding:4px 9px;text-align:center;border:1px solid var(--line);border-radius:6px}
.pages [aria-current]{background:var(--card);font-weight:600}.pages .gap{border:0}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(132px,1fr));margin:18px 0 0;
border:1px solid var(--line);border-radius:10px;overflow:hidden}
.facts div{padding:10px 14px;box-shadow:0 0 0 .5px var(--line)}
.facts dt{font-size:12px;color:var(--soft)}.facts dd{margin:2px 0 0;font-size:16px;font-weight:600}
.facts small{display:block;font-size:12px;font-weight:400;color:var(--soft)}
.charts{display:grid;grid-template-columns:1fr 1fr;gap:0 36px}
.chart{display:block;width:100%;height:auto}.chart text{fill:var(--soft);font-size:12px}
.chart .grid{stroke:var(--line)}.chart .down{fill:var(--down)}
.phase-dns{fill:var(--dns)}.phase-connect{fill:var(--connect)}.phase-tls{fill:var(--tls)}
.phase-first_byte{fill:var(--first)}.phase-body{fill:var(--body)}
.legend{display:flex;flex-wrap:wrap;gap:4px 16px;list-style:none;margin:8px 0;padding:0;font-size:12px;color:var(--soft)}
.legend svg{width:10px;height:10px;margin-right:6px}
details{margin:6px 0}summary{cursor:pointer;color:var(--link);font-size:13px}
.scroll{overflow-x:auto}
.evidence pre{margin:4px 0 10px;padding:10px 12px;background:var(--card);border-radius:6px;overflow-wrap:anywhere;white-space:pre-wrap;font-size:12px}
.why-cell{overflow-wrap:anywhere;min-width:180px}
@media(max-width:760px){
body{padding:0 14px 24px}h1{font-size:22px}.charts{grid-template-columns:1fr}
.now li{grid-template-columns:minmax(0,1fr)}.now .since{text-align:left}
header{flex-wrap:wrap;gap:0 16px}
form h2{width:100%}label{flex:1 1 130px}input{width:100%}
.hosts,.hosts tbody,.hosts caption{display:block}.hosts thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.hosts tr{display:grid;grid-template-columns:auto 1fr auto;gap:2px 10px;align-items:center;padding:10px 0;border-bottom:1px solid var(--line)}
.hosts th,.hosts td{border:0;padding:0;width:auto;min-width:0}
.hosts tbody th{grid-column:2/4;grid-row:1;max-width:none}
.hosts td.mark{grid-column:1;grid-row:1;align-self:start}
.hosts td.bars-cell{grid-column:1/3;grid-row:2}.hosts td.quarter{grid-column:3;grid-row:2}
.hosts td.day,.hosts td.month,.hosts td.late{display:none}
.hosts td.certificate{display:none}.hosts tr:has(.certificate .warn,.certificate .bad) td.certificate{display:block;grid-column:1/4;text-align:left}
.hosts td.certificate::before{content:"certificate: "}
}
@media print{form,.pages,footer{display:none}}
`;
