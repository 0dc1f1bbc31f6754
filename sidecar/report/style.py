"""How the page looks: one sheet, light and dark, on screen and on paper. All pairs of colours reach 4.5 to 1."""

from __future__ import annotations

STYLE = """
:root{color-scheme:light dark;
--page:#f6f7f9;--card:#fff;--text:#1b2230;--quiet:#566073;--line:#dde1e8;--faint:#eef0f4;--link:#1d5fbf;
--done:#166f42;--done-soft:#cfeedd;--failed:#b3261e;--failed-soft:#f9d6d2;--cancelled:#8a5300;--cancelled-soft:#f6dfbd;
--interrupted:#7a3e9d;--interrupted-soft:#ead8f5;--running:#1d5fbf;--running-soft:#d3e3fa;--queued:#566073;
--queued-soft:#e3e7ee;--command:#45516a;--edit:#0b3d91;--warn:#8a5300;--warn-soft:#fdf0d9;--info:#1d5fbf;
--info-soft:#e3edfb;--edge:#fff;--pause:#e6e9ef}
@media screen and (prefers-color-scheme:dark){:root{
--page:#0f1318;--card:#171c23;--text:#e4e8ee;--quiet:#9aa5b5;--line:#2b333e;--faint:#1f262f;--link:#7fb2ff;
--done:#5fd39a;--done-soft:#17402c;--failed:#ff8f86;--failed-soft:#54211d;--cancelled:#f0b862;--cancelled-soft:#4a3414;
--interrupted:#d3a4f0;--interrupted-soft:#412552;--running:#7fb2ff;--running-soft:#1c3a63;--queued:#9aa5b5;
--queued-soft:#2b333e;--command:#b9c4d6;--edit:#ffd479;--warn:#f0b862;--warn-soft:#3a2c14;--info:#7fb2ff;
--info-soft:#182b47;--edge:#171c23;--pause:#242c36}}
*{box-sizing:border-box}
html{scroll-padding-top:1rem;font-size:93.75%}
body{margin:0 auto;max-width:1280px;padding:1.5rem 1.5rem 3rem;background:var(--page);color:var(--text);
font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif}
code,pre,.log,.matrix td,.conflict h3,.paths{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",
monospace;font-size:.88em}
a{color:var(--link);text-decoration:none}a:hover{text-decoration:underline}
:focus-visible{outline:2px solid var(--link);outline-offset:2px;border-radius:3px}
bdi{overflow-wrap:anywhere}code{overflow-wrap:anywhere;background:var(--faint);border-radius:4px;padding:.1em .35em}
h1{font-size:1.9rem;line-height:1.2;margin:.1rem 0 .3rem;font-weight:680;letter-spacing:-.01em}
h2{font-size:1.15rem;margin:0 0 .7rem;font-weight:650}
h3{font-size:1rem;margin:0 0 .4rem;font-weight:600;line-height:1.7}
p{margin:.35rem 0}ul,ol{margin:.35rem 0;padding-left:1.3rem}
.quiet,small,.more,.empty{color:var(--quiet)}
.brand{color:var(--quiet);font-size:.82rem;letter-spacing:.04em;margin:0}
.verdict{font-size:1.08rem;margin:.1rem 0 .8rem}
header dl{display:grid;gap:.1rem;margin:0 0 1.1rem}
header dl div{display:flex;gap:.6rem}header dt{flex:0 0 6rem}
dt{color:var(--quiet)}dd{margin:0;min-width:0}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(140px,1fr));gap:.75rem;list-style:none;padding:0;margin:0}
.tiles li{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:.7rem .9rem;line-height:1.25}
.tiles b{font-size:1.7rem;font-weight:660;font-variant-numeric:tabular-nums}.tiles small{display:block}
.tiles .bad{border-color:var(--failed)}.tiles .bad small{color:var(--failed)}
.tiles .warn{border-color:var(--warn)}.tiles .warn small,.tiles .warn b{color:var(--warn)}
.notices{list-style:none;margin:.9rem 0 0;padding:.6rem .9rem;background:var(--warn-soft);border-radius:8px;
border-left:4px solid var(--warn)}
nav{display:flex;flex-wrap:wrap;gap:.3rem 1.2rem;margin:1.1rem 0}
section{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:1.1rem 1.25rem 1.25rem;
margin:0 0 1.25rem}
footer{color:var(--quiet);font-size:.86rem;padding:0 .25rem}
.defs{position:absolute;width:0;height:0;overflow:hidden}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;list-style:none;padding:0;margin:0 0 .8rem;font-size:.85rem;
color:var(--quiet)}.legend svg{vertical-align:-3px;margin-right:.3rem}.legend b{color:var(--text)}

.timeline{border-top:1px solid var(--line)}.long{max-height:85vh;overflow:auto;overscroll-behavior:auto}
.axis,.lane{display:grid;grid-template-columns:minmax(150px,250px) minmax(0,1fr);align-items:center;column-gap:.75rem}
.axis{position:sticky;top:0;background:var(--card);z-index:2;border-bottom:1px solid var(--line)}
.lanes{list-style:none;padding:0;margin:0}
.lane{border-bottom:1px solid var(--faint)}.lane:hover{background:var(--faint)}
.who{min-width:0;line-height:1.25}.who a{display:block;white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
.who a span{color:var(--text)}.who small{display:block;font-size:.78rem}
.life{padding-right:132px;min-width:0}.life svg{display:block;overflow:visible}
.rule{stroke:var(--line)}.pause{fill:var(--pause)}
.tick{fill:var(--quiet);font-size:11px;text-anchor:middle;font-variant-numeric:tabular-nums}.tick.first{text-anchor:start}
.wait{fill:var(--queued-soft);stroke:var(--queued);stroke-dasharray:2 2;stroke-width:1}
.bar{stroke-width:1;fill:var(--running-soft);stroke:var(--running)}
.done .bar{fill:var(--done-soft);stroke:var(--done)}.failed .bar{fill:var(--failed-soft);stroke:var(--failed)}
.cancelled .bar{fill:url(#hatch);stroke:var(--cancelled)}
.interrupted .bar{fill:var(--interrupted-soft);stroke:var(--interrupted);stroke-dasharray:5 3}
.running .bar,.starting .bar,.stopping .bar{stroke-dasharray:8 2}
.hatch{stroke:var(--cancelled-soft);stroke-width:8}
.status{font-size:12px;font-weight:600;fill:var(--running)}
.done .status{fill:var(--done)}.failed .status{fill:var(--failed)}.cancelled .status{fill:var(--cancelled)}
.interrupted .status{fill:var(--interrupted)}.queued .status{fill:var(--queued)}
.cmd{fill:var(--command);stroke:var(--command);stroke-width:1.4}.cmd.bad{fill:var(--failed);stroke:var(--failed)}
.call{fill:var(--info);stroke:var(--info);stroke-width:1.4}.edit{fill:var(--edit);stroke:var(--edge);stroke-width:.7}.edit.bad{fill:var(--edge);stroke:var(--failed);stroke-width:1.8}
.error{fill:var(--failed)}.save{fill:var(--info)}
.stroke{fill:none;stroke-width:1.8;stroke-linecap:round}
.stop{stroke:var(--cancelled)}.clock{stroke:var(--failed)}
.save .stroke{stroke:var(--card)}
.saves{border-bottom:0}

.scroll{overflow:auto;max-height:75vh;width:fit-content;max-width:100%;border:1px solid var(--line);border-radius:8px}
.wide{overflow-x:auto}
table{border-collapse:separate;border-spacing:0}
.matrix th,.matrix td{border-bottom:1px solid var(--faint);padding:.18rem .3rem}
.matrix td{text-align:center;min-width:2.6rem;border-left:1px solid var(--faint)}
.matrix thead th{position:sticky;top:0;background:var(--card);z-index:2;border-bottom:1px solid var(--line);
font-weight:600;text-align:center}
.matrix tbody th{position:sticky;left:0;background:var(--card);z-index:1;text-align:left;font-weight:400;
min-width:15rem;max-width:40rem;padding:.18rem .8rem .18rem .6rem;border-right:1px solid var(--line)}
.matrix .corner{left:0;z-index:3;text-align:left;padding-left:.6rem;border-right:1px solid var(--line)}
.matrix tbody tr:hover th,.matrix tbody tr:hover td{background:var(--faint)}
.matrix .s,.matrix .a,.matrix .r,.key{font-weight:600}
.matrix td.s{background:var(--running-soft)}.matrix td.a{background:var(--faint);color:var(--text)}
.matrix td.r{color:var(--quiet)}
.matrix td.x{background:var(--warn-soft);color:var(--warn);box-shadow:inset 0 0 0 1.5px var(--warn)}
.key{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;padding:0 .35em;
border-radius:4px;color:var(--text)}
.key.s{background:var(--running-soft)}.key.a{background:var(--faint)}
.key.x{background:var(--warn-soft);color:var(--warn);box-shadow:inset 0 0 0 1.5px var(--warn)}
.group{margin:.35rem 0}summary{cursor:pointer;padding:.15rem 0}
.badge,.pill{display:inline-block;font:600 .76rem/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;border-radius:99px;
padding:0 .6em;white-space:nowrap;vertical-align:middle}
.badge{margin-left:.5rem}.badge.error{background:var(--failed-soft);color:var(--failed)}
.badge.warning{background:var(--warn-soft);color:var(--warn)}
.badge.information{background:var(--info-soft);color:var(--info)}
.badge.settled{background:var(--faint);color:var(--quiet)}
.pill{background:var(--running-soft);color:var(--running)}.pill.done{background:var(--done-soft);color:var(--done)}
.pill.failed{background:var(--failed-soft);color:var(--failed)}
.pill.cancelled{background:var(--cancelled-soft);color:var(--cancelled)}
.pill.interrupted{background:var(--interrupted-soft);color:var(--interrupted)}
.pill.queued{background:var(--queued-soft);color:var(--queued)}

.conflicts{list-style:none;padding:0;margin:0;display:grid;gap:.75rem}
.conflict{border:1px solid var(--line);border-left:4px solid var(--warn);border-radius:8px;padding:.6rem .9rem}
.conflict.error{border-left-color:var(--failed)}.conflict.information{border-left-color:var(--info)}
.conflict.settled{border-left-color:var(--line)}
.remedy{color:var(--quiet)}.remedy code{color:var(--text)}
.worker{border-top:1px solid var(--line);padding:.85rem 0 .6rem}.worker:first-of-type{border-top:0;padding-top:0}
.worker:target h3,.conflict:target{background:var(--info-soft)}
.label{display:inline-block;min-width:2.1rem;color:var(--link)}
.worker dl{display:flex;flex-wrap:wrap;gap:.1rem 1.4rem;margin:.1rem 0 .5rem;font-size:.9rem}
.worker dl div{display:flex;gap:.4rem}
.problem{background:var(--failed-soft);border-left:4px solid var(--failed);border-radius:6px;
padding:.35rem .8rem;margin:.5rem 0}
.preview{color:var(--quiet)}details[open]>summary .preview{display:none}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--faint);border-radius:8px;padding:.7rem .9rem;
margin:.4rem 0;max-height:32rem;overflow:auto}
.list,.log{width:100%;font-size:.9rem}.list th,.log th{text-align:left;color:var(--quiet);font-weight:500}
.list th,.list td,.log th,.log td{padding:.2rem .9rem .2rem 0;border-bottom:1px solid var(--faint);vertical-align:top}
.log td:first-child,.log td:last-child,.list td:first-child,.list td:nth-child(3){white-space:nowrap}
.list code{white-space:nowrap}
.log td:first-child{width:6.5rem}.log td:nth-child(2){width:7rem}.log td:last-child{width:5.5rem}
.log .bad td:nth-child(2){color:var(--failed)}
.unseen{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
@media (max-width:720px){body{padding:1rem .75rem}.axis .who{display:none}
.axis,.lane{grid-template-columns:minmax(0,1fr);padding-top:.35rem}.life{padding-right:104px}
.matrix tbody th{min-width:9rem;max-width:55vw}}
@media (prefers-reduced-motion:no-preference){html{scroll-behavior:smooth}}
@media print{:root{color-scheme:light}html{font-size:11px}body{max-width:none;padding:0;background:#fff}
nav{display:none}section{border:0;padding:.5rem 0;break-inside:auto}
.scroll,.wide,.long,pre{overflow:visible;max-height:none}
.list code{white-space:normal}
.axis,.matrix thead th,.matrix tbody th{position:static}.lane,.conflict,.tiles li,tr,.problem{break-inside:avoid}
h2,h3{break-after:avoid}details::details-content{content-visibility:visible;block-size:auto}
.bar,.wait,.cmd,.edit,.matrix td,.badge,.pill,.tiles li,.problem{
-webkit-print-color-adjust:exact;print-color-adjust:exact}}
"""
