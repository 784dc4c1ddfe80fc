"""Write the PDF and DOCX files of ``sample_corpus/``.

Usage: python tests/make_sample_corpus.py [FOLDER]

FOLDER defaults to the ``sample_corpus`` folder next to ``tests``. The output is
deterministic: running the script twice with the same library versions gives
byte-identical files. It needs ``reportlab`` and ``python-docx``.

The texts are below, in a tiny markup: a line starting with ``## `` is a heading,
a block of lines starting with ``|`` is a table, and every other block between
blank lines is one paragraph.
"""

from __future__ import annotations

import datetime
import io
import re
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from docx import Document as new_docx
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import cm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate

CJK_FONT = "STSong-Light"
FIXED_DATE = datetime.datetime(2024, 1, 1)
ZIP_DATE = (2024, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Source:
    """One document: its path below the corpus folder, title and marked-up text."""

    path: str
    title: str
    text: str


SOURCES: tuple[Source, ...] = (
    Source(
        "en/hnsw-graphs.pdf",
        "How HNSW finds near neighbours",
        """
        Comparing a query vector with every stored vector is exact, but its cost grows
        with the size of the collection. Hierarchical Navigable Small World graphs,
        usually shortened to HNSW, trade a little accuracy for a very large gain in
        speed.

        ## Layers of links

        Every vector becomes a node that is linked to some of its close neighbours. All
        nodes live in the bottom layer; each higher layer holds a random and much
        smaller share of them, so the top layer may contain only a handful. A search
        starts at the top, walks greedily towards the query with long steps, and drops
        one layer whenever it cannot get any closer. In the bottom layer it keeps a list
        of the best candidates seen so far and expands them until nothing improves.

        ## Three parameters

        M is the number of links a new node receives. More links improve recall and
        cost memory. efConstruction is the length of the candidate list while the
        graph is being built: larger values give a better graph and a slower build.
        efSearch is the same list at query time, and it can be changed without
        rebuilding anything. Raise it when recall is too low, lower it when answers
        take too long.

        ## When not to use it

        For a few tens of thousands of vectors a plain scan is often fast enough and
        always exact. Deletions are awkward too, because removing a node can leave
        its neighbours poorly connected; many systems only mark the node as dead and
        rebuild the graph from time to time.
        """,
    ),
    Source(
        "en/tower-crane-safety.pdf",
        "Working near a tower crane",
        """
        A tower crane lifts steel, formwork and concrete skips over people who are busy
        with something else. Most of the rules on site exist to keep those two things
        apart.

        ## Before the lift

        The operator checks the limit switches, the hoist rope and the hook latch at the
        start of every shift. The slinger inspects each chain and strap, looks for a
        readable load tag, and confirms that the weight of the load at that radius is
        inside the load chart. The further out the trolley travels along the jib, the
        less the crane may carry.

        ## During the lift

        One trained signaller gives the signals, and the operator obeys nobody else,
        with a single exception: anybody may give the stop signal. Nobody walks or
        stands under a suspended load. Long loads are steadied with tag lines, never by
        hand.

        ## Wind

        Wind pushes on the load as well as on the jib. Follow the limit in the
        manufacturer's manual; many tower cranes must stop lifting when gusts reach
        roughly 20 metres per second, and large flat panels have to stay on the ground
        much earlier. Out of service, the slewing brake is released so that the jib can
        turn freely with the wind like a weathervane.
        """,
    ),
    Source(
        "en/compost-bin.pdf",
        "A compost bin that does not smell",
        """
        Good compost smells like a forest floor. A bin that stinks is telling you that
        something is out of balance, and the cure is usually quick.

        ## Greens and browns

        Kitchen peelings, coffee grounds and grass clippings are rich in nitrogen and
        are called greens. Dry leaves, torn cardboard, straw and wood shavings are rich
        in carbon and are called browns. Aim for about two or three buckets of browns
        for each bucket of greens. A smell of ammonia or rotten eggs means too many
        greens or too little air: mix in torn egg boxes and turn the heap with a fork.

        ## Moisture

        Squeeze a handful. It should feel like a wrung-out sponge. If water runs out,
        add dry material and a lid; if it crumbles, water it.

        ## What to leave out

        Keep out meat, fish, cheese and cooked food, which attract rats. Leave out
        diseased plants, the roots of bindweed and couch grass, and the litter of cats
        and dogs.

        ## Patience

        A heap of a cubic metre that is turned every week may be ready in three months.
        A small bin that is left alone needs closer to a year. It is finished when it is
        dark and crumbly and you can no longer tell what went into it.
        """,
    ),
    Source(
        "en/meeting-room-booking.pdf",
        "Booking a meeting room",
        """
        This guide is for everyone who works on floors two to five. Rooms are booked in
        the shared calendar; the tablets beside the doors only show what the calendar
        says.

        ## Make a booking

        Create an event, press Add room, and choose by number of seats. Rooms whose
        names begin with a tree have a video screen; rooms named after rivers do not.
        Bookings may start up to eight weeks ahead and last four hours at most. For a
        full day, write to rooms@example.com.

        ## Check in

        Tap Check in on the door tablet within ten minutes of the start. Otherwise the
        room is released and anybody may take it. If the tablet shows E-1074, its
        connection to the calendar is lost: the booking is still valid, so go in, and
        report the tablet to the service desk.

        ## Leave it ready

        Wipe the whiteboard, take cups to the kitchen, and push the chairs back. If you
        end early, press End now so that colleagues can use the remaining time.
        """,
    ),
    Source(
        "zh/ceyuexueya.pdf",
        "在家测量血压的正确方法",
        """
        家里备一台上臂式电子血压计，比偶尔去一次医院更能看清自己平时的血压水平。但是测量方法不对，
        结果可能相差十几毫米汞柱。

        ## 测量之前

        测量前半小时不要抽烟、喝咖啡或剧烈运动，先上厕所，然后坐下来安静休息五分钟。
        选择有靠背的椅子，双脚平放在地上，不要跷二郎腿。

        ## 测量的时候

        袖带直接绑在裸露的上臂，下缘距肘窝两到三厘米，松紧以能插入一到两根手指为宜。手臂放在桌上，
        袖带与心脏保持同一高度。测量过程中不说话、不看手机。连续测两次，中间间隔一分钟，
        取平均值；如果两次相差超过十毫米汞柱，再测第三次。

        ## 记录与判断

        建议早晚各测一次，早上在起床排尿后、服药和早餐之前。家庭自测的平均值达到或超过一百三十五/八十五
        毫米汞柱，就应该带着记录去看医生，不要自行加药或停药。第一次使用时两只手臂都要测，
        以后固定测量读数较高的一侧。
        """,
    ),
    Source(
        "zh/xinmao-daojia.pdf",
        "新猫到家的第一周",
        """
        猫对领地的变化非常敏感。刚到陌生的家，它很可能躲在床底一整天，不吃不喝也不出声，
        这多半是害怕，而不是生病。

        ## 先给一个小房间

        不要一开始就让它在全屋活动。准备一个安静的房间，放好猫砂盆、水碗、食盆和一个能钻进去的纸箱。
        猫砂盆要远离食盆。前几天继续喂它原来吃的猫粮，换粮用七到十天慢慢过渡，否则容易拉肚子。

        ## 让它自己靠近

        坐在地上看书，说话声音放轻，等它主动来闻你。慢慢眨眼是友好的表示。不要把它从角落里拖出来，
        也不要急着洗澡。

        ## 什么时候找兽医

        超过二十四小时完全不进食、频繁呕吐、反复蹲猫砂盆却尿不出来，都要马上就医；公猫尿闭可能在一两天内危及生命。
        一切正常的话，也应在头两周内带去做一次体检，商量疫苗、驱虫和绝育的时间。
        """,
    ),
    Source(
        "zh/zhongwen-fenci.pdf",
        "中文分词为什么难",
        """
        英文单词之间有空格，中文句子却是连在一起写的。搜索引擎建立倒排索引之前，
        必须先决定从哪里切开，这一步叫做分词。

        ## 歧义

        “南京市长江大桥”可以切成“南京市／长江大桥”，也可以错切成“南京／市长／江大桥”。
        “乒乓球拍卖完了”同样有两种读法。遇到人名、地名和新造的网络词语，词典里没有收录，切错的可能更大。

        ## 常见做法

        最简单的是词典加最大匹配：从左到右每次取最长的词。统计方法给每个字标上词首、词中、词尾或单字成词的标记，
        用隐马尔可夫模型或条件随机场求整句最可能的标记序列。还有一种完全不依赖词典的办法，
        就是把相邻的两个字作为一个单位，称为二元切分；它不会漏掉任何词，代价是索引变大，
        还会带来一些没有意义的组合。

        ## 对检索的影响

        文档和查询必须使用同一种切法，否则即使字面完全相同也匹配不上。不少系统同时保存词和二元组两种单位：
        前者保证准确，后者保证召回。
        """,
    ),
    Source(
        "mixed/gongluche-shuyu.pdf",
        "公路车常用英文术语",
        """
        第一次逛公路车论坛的人，常被满屏的英文缩写弄糊涂。下面把最常见的几个讲清楚。

        ## 传动部分

        groupset 指整套变速和刹车零件，也叫“大套件”。crankset 是牙盘，cassette 是后轮上的飞轮，
        rear derailleur 是后拨。说一套飞轮是 11-34T，意思是最小的齿片 11 齿、最大的 34 齿；
        齿数越大，爬坡越轻松。

        ## 坐姿部分

        stack 和 reach 描述车架的高度与长度，比单看“尺码”可靠得多。stack 大，骑姿较直立，适合长途；
        stack 小而 reach 大，骑姿更趴，适合比赛。saddle height 太低会伤膝盖，太高则骨盆左右晃动。

        ## 训练部分

        cadence 是踏频，单位 rpm，一般人保持在 80 到 95 比较省力。FTP 是 functional threshold power，
        大致等于能坚持一小时的最大平均功率。drafting 指跟在前车后面省力，跟车时不要突然刹车。
        """,
    ),
    Source(
        "en/reranking-cross-encoders.docx",
        "Reranking with a cross-encoder",
        """
        A first-stage retriever has to be cheap, because it looks at the whole collection.
        A reranker looks only at the short list that survives, so it can afford to read
        carefully.

        ## Two ways to use a transformer

        A bi-encoder turns the query and each passage into vectors separately. Passage
        vectors can be computed ahead of time, and a search is a matter of comparing
        vectors. A cross-encoder is given the query and one passage together and returns
        a single relevance score. Because every word of the question can attend to every
        word of the passage, it notices negation, word order and which meaning of an
        ambiguous word is intended. Nothing can be precomputed, however: a hundred
        candidates mean a hundred runs of the model.

        ## Choosing the depth

        Reranking the top 50 to 100 candidates is a common starting point. A document
        that the first stage never returned cannot be rescued, so measure recall at the
        depth you plan to rerank before you tune anything else.

        ## Practical hints

        Sort the pairs by length before batching to avoid wasted padding. Cut passages to
        the length the model was trained on. Do not compare scores across different
        queries unless the model was calibrated for that; they are meant for ordering
        one list.
        """,
    ),
    Source(
        "en/dripping-tap.docx",
        "How to stop a dripping tap",
        """
        A tap that drips once a second wastes thousands of litres a year. In most older
        taps the culprit is a rubber washer that costs less than a cup of coffee.

        ## Turn the water off

        Close the small valve under the basin, or the main stopcock if there is none, and
        open the tap until it runs dry. Put the plug in so that no screw disappears down
        the drain.

        ## Compression taps

        Prise off the cap, undo the screw, and pull the handle away. Hold the spout with
        one hand while you loosen the headgear nut with a spanner. The washer sits at the
        bottom of the valve. Take it to the shop and buy the same size, and replace the
        O-ring on the stem at the same time. If the drip continues, the brass seat is
        probably worn and can be smoothed with a reseating tool.

        ## Ceramic taps

        Mixers with a single lever contain a ceramic cartridge. It cannot be repaired,
        only exchanged. Note the brand and the diameter before ordering, and rinse grit
        out of the body before you fit the new one.

        ## Put it together

        Smear a little silicone grease on the new parts, tighten firmly but not with all
        your strength, and turn the water on slowly.
        """,
    ),
    Source(
        "en/config-keys.docx",
        "Larkspur Sync configuration keys",
        """
        Larkspur Sync reads the file larkspur.toml when it starts. Keys that are missing
        take the default from the table. Unknown keys are reported as a warning and
        ignored.

        ## Connection

        | Key | Default | Meaning |
        | max_retry_count | 5 | How often a failed request is tried again before the client gives up |
        | retry_backoff_ms | 400 | Pause before the first retry; it doubles after every attempt |
        | connect_timeout_s | 10 | Seconds to wait for the server to accept a connection |
        | tls_verify | true | Whether the certificate of the server is checked |

        Set max_retry_count to 0 to fail at once, which is useful in scripts. Do not set
        tls_verify to false outside a test network.

        ## Storage

        | Key | Default | Meaning |
        | cache_ttl_seconds | 86400 | Age at which a cached file is fetched again |
        | cache_max_mb | 2048 | Size of the cache folder at which the oldest files are removed |
        | ignore_globs | *.tmp | File patterns that are never uploaded |

        ## Apply a change

        Save the file and choose Reload settings in the tray menu. A restart is needed
        only for keys in the Connection table. Questions go to sync-help@example.com.
        """,
    ),
    Source(
        "en/emergency-fund.docx",
        "Building an emergency fund",
        """
        An emergency fund is money for the events you cannot schedule: a lost job, a
        broken boiler, a flight home to a sick parent. Its purpose is to keep a bad month
        from turning into expensive debt.

        ## How much

        Add up what you must pay each month: rent, food, heating, transport, insurance.
        Three months of that sum is a sensible goal for someone with a secure salary.
        Freelancers, single earners and home owners sleep better with six. If the figure
        looks impossible, begin with a few hundred; even that covers a tyre or a tooth.

        ## Where to keep it

        The money must be safe and quick to reach. An instant-access savings account
        covered by deposit insurance is ideal. Shares are not, because they tend to be
        down exactly when companies are laying people off. Keep it apart from the account
        you spend from.

        ## How to fill it

        Set up a standing order for the day after payday and treat it like a bill. Send
        tax refunds and overtime the same way. If you also carry credit card debt, build
        a small buffer first, then attack the card, then complete the fund.

        ## Using it

        Spend it without guilt when something urgent, necessary and unexpected happens,
        and refill it afterwards.
        """,
    ),
    Source(
        "zh/shuilongtou-loushui.docx",
        "水龙头漏水怎么修",
        """
        水龙头关紧了还是滴答滴答，多半是里面的密封件老化，自己动手十几分钟就能解决，不必请师傅。

        ## 准备工作

        先关掉洗手盆下面的角阀，没有角阀就关总阀，再打开龙头放掉余水。用抹布堵住下水口，免得小螺丝掉进去。
        工具只需要十字螺丝刀、活动扳手和一截生料带。

        ## 判断漏在哪里

        出水口滴水，一般是阀芯磨损；手柄根部渗水，多半是密封圈坏了；墙面接口处渗水，则要重新缠生料带。

        ## 更换阀芯

        撬开手柄上的红蓝装饰片，拧下螺丝，取下手柄和外罩，用扳手逆时针旋出压盖，就能拔出陶瓷阀芯。
        常见直径有三十五毫米和四十毫米两种，拿着旧的去五金店比对最稳妥。新阀芯底部的定位脚要对准孔位，
        装好后慢慢打开角阀，冷热水各试一次。

        ## 老式螺旋龙头

        这种龙头里面是一块橡胶垫片，几角钱一个，换掉即可。
        """,
    ),
    Source(
        "zh/dayinji-e-1047.docx",
        "打印机报错 E-1047 的处理步骤",
        """
        三楼的彩色打印机有时停止工作，屏幕显示 E-1047。这个代码表示定影组件温度异常，与缺纸、卡纸无关。

        ## 自行处理

        第一步，取消所有排队的任务，关闭电源，拔下电源线，等待至少三十分钟，让定影组件完全冷却。
        刚停机时内部温度很高，千万不要伸手去摸。第二步，打开后盖，检查有没有残留的碎纸或标签贴在滚筒上，
        有的话顺着出纸方向轻轻取出。第三步，把打印机直接插在墙上的插座，不要接在插线板上，然后重新开机。

        ## 仍然报错

        如果重启后十分钟内再次出现 E-1047，请不要反复开关机。把机身侧面的资产编号和打印计数发到
        print-support@example.com，管理员会联系厂家更换定影组件，通常需要两个工作日。等待期间可以改用五楼的黑白打印机。

        ## 容易混淆的代码

        E-1031 是后盖没有关好，E-1052 是废粉盒已满，这两种情况都不需要报修。
        """,
    ),
    Source(
        "zh/chailv-baoxiao.docx",
        "差旅报销说明",
        """
        出差回来后请在三十天内提交报销单，逾期需要部门负责人另写说明。

        ## 标准

        | 项目 | 上限 | 需要的凭证 |
        | 住宿 | 每晚五百元 | 酒店发票和住宿清单 |
        | 市内交通 | 每天八十元 | 发票或行程单 |
        | 餐费补贴 | 每天一百元 | 无需发票 |
        | 火车 | 二等座 | 电子发票 |

        一线城市的住宿上限提高到每晚七百元。飞机须提前审批，只报经济舱。

        ## 怎么填

        登录办公系统，选择“费用—差旅”，按行程逐条填写，把发票的电子文件拖进附件区。
        发票抬头和税号必须与公司信息一致，个人抬头的发票不能报销。同一张发票只能提交一次，系统会自动查重。

        ## 多久到账

        直属上级审批后，财务在五个工作日内审核，款项随后打入工资卡。被退回的单子会注明原因，
        改好后从原单重新提交，不要新建。有疑问请写信给 finance@example.com。
        """,
    ),
    Source(
        "mixed/会议纪要.docx",
        "检索项目周会纪要",
        """
        时间：周三下午两点。参加人：检索组全体。本次会议讨论 hybrid search 上线前的遗留问题。

        ## 结论

        一、BM25 与 dense retrieval 的结果用 RRF（reciprocal rank fusion）合并，参数 k 取 60，
        不再手工调两路分数的权重。二、reranker 只处理前 50 条，P95 latency 控制在 300 毫秒以内，
        超时就直接返回融合后的顺序。三、评测集增加 40 条中英混合的 query，由两人独立标注，
        分歧由第三人裁定。

        ## 待办

        小林负责排查 embedding 服务偶发的 ERR_POOL_2201，怀疑是连接池太小，先把 pool_size 从 8 调到 32。
        小周负责在 dashboard 上增加 recall@100 和 nDCG@10 两条曲线。老陈整理 rollback 方案，
        周五之前发到 search-team@example.com。

        ## 下次会议

        下周三同一时间，重点看 A/B test 的第一批数据。
        """,
    ),
)


@dataclass(frozen=True)
class Block:
    """A heading, a paragraph or a table (rows of cells)."""

    kind: str
    text: str = ""
    rows: tuple[tuple[str, ...], ...] = ()


def join_lines(lines: list[str]) -> str:
    """Join the lines of a paragraph, with a space only between two ASCII characters."""
    joined = lines[0]
    for line in lines[1:]:
        gap = " " if joined[-1].isascii() and line[0].isascii() else ""
        joined += gap + line
    return joined


def parse(text: str) -> list[Block]:
    """Split marked-up text into blocks."""
    blocks: list[Block] = []
    for chunk in re.split(r"\n\s*\n", text.strip()):
        lines = [line.strip() for line in chunk.splitlines()]
        if lines[0].startswith("## "):
            blocks.append(Block("heading", text=lines[0][3:]))
        elif lines[0].startswith("|"):
            rows = tuple(tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines)
            blocks.append(Block("table", rows=rows))
        else:
            blocks.append(Block("paragraph", text=join_lines(lines)))
    return blocks


def pdf_bytes(source: Source) -> bytes:
    """Lay a document out as a PDF; text outside ASCII gets a Chinese font."""
    chinese = not (source.title + source.text).isascii()
    wrap = "CJK" if chinese else None
    body = ParagraphStyle(
        "body",
        fontName=CJK_FONT if chinese else "Helvetica",
        fontSize=11,
        leading=17,
        spaceAfter=8,
        wordWrap=wrap,
    )
    bold = CJK_FONT if chinese else "Helvetica-Bold"
    heading = ParagraphStyle("heading", body, fontName=bold, fontSize=13, spaceBefore=6)
    title = ParagraphStyle("title", body, fontName=bold, fontSize=18, leading=26)

    story: list[Flowable] = [Paragraph(escape(source.title), title)]
    for block in parse(source.text):
        if block.kind == "table":
            raise ValueError(f"{source.path}: tables are only written to DOCX")
        style = heading if block.kind == "heading" else body
        story.append(Paragraph(escape(block.text), style))

    buffer = io.BytesIO()
    SimpleDocTemplate(
        buffer,
        pagesize=A4,
        leftMargin=2 * cm,
        rightMargin=2 * cm,
        title=source.title,
        author="",
        creator="",
        lang="zh-CN" if chinese else "en",
        invariant=1,
        pageCompression=0,
    ).build(story)
    return buffer.getvalue()


def docx_bytes(source: Source) -> bytes:
    """Write a document as DOCX, with fixed dates in its properties and its archive."""
    document = new_docx()
    properties = document.core_properties
    properties.title = source.title
    properties.author = ""
    properties.comments = ""
    properties.created = properties.modified = FIXED_DATE

    document.add_heading(source.title, level=1)
    for block in parse(source.text):
        if block.kind == "heading":
            document.add_heading(block.text, level=2)
        elif block.kind == "paragraph":
            document.add_paragraph(block.text)
        else:
            table = document.add_table(rows=0, cols=len(block.rows[0]))
            table.style = "Table Grid"
            for row in block.rows:
                for cell, text in zip(table.add_row().cells, row, strict=True):
                    cell.text = text

    raw = io.BytesIO()
    document.save(raw)
    fixed = io.BytesIO()
    with zipfile.ZipFile(raw) as old, zipfile.ZipFile(fixed, "w") as new:
        for name in sorted(old.namelist(), key=lambda name: (name != "[Content_Types].xml", name)):
            info = zipfile.ZipInfo(name, date_time=ZIP_DATE)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3
            new.writestr(info, old.read(name))
    return fixed.getvalue()


def build(folder: Path) -> list[Path]:
    """Write every document below ``folder`` and return the paths."""
    pdfmetrics.registerFont(UnicodeCIDFont(CJK_FONT))
    written: list[Path] = []
    for source in SOURCES:
        path = folder / source.path
        path.parent.mkdir(parents=True, exist_ok=True)
        make = pdf_bytes if path.suffix == ".pdf" else docx_bytes
        path.write_bytes(make(source))
        written.append(path)
    return written


def main(arguments: list[str]) -> int:
    default = Path(__file__).resolve().parent.parent / "sample_corpus"
    folder = Path(arguments[0]) if arguments else default
    sys.stdout.write(f"wrote {len(build(folder))} files\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
