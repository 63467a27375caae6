"""Made-up tags in English and Chinese, half each, and answers made of them: the same on every machine. It knows no tokens and no
engine.

The first tags of a larger vocabulary are those of a smaller one, so vocabularies of several sizes can be measured on the same
answers. Labels share beginnings ("Linen shirt", "Linen shirt for women"), and some are the beginning of another.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from hangtag.errors import InvalidSettings
from hangtag.vocabulary import ANY_LANGUAGE, Tag, TagVocabulary

MOST_TAGS, FEWEST_TAGS = 500_000, 100
LIMITED_FACET = "clothing"
"""The facet of which answers have one tag at most, so that a limit on it can be switched on."""

_HEADS = {
    "clothing": "Shirt 衬衫,Dress 连衣裙,Jacket 夹克,Trousers 长裤,Skirt 半身裙,Sweater 毛衣,Coat 大衣,T-shirt T恤,Jeans 牛仔裤",
    "shoes": "Sneakers 运动鞋,Boots 靴子,Sandals 凉鞋,Loafers 乐福鞋,Slippers 拖鞋,Heels 高跟鞋,Running shoes 跑鞋,Clogs 洞洞鞋",
    "bags": "Backpack 双肩包,Handbag 手提包,Wallet 钱包,Suitcase 行李箱,Tote 托特包,Belt bag 腰包,Briefcase 公文包",
    "audio": "Headphones 耳机,Speaker 音箱,Microphone 麦克风,Soundbar 回音壁,Earbuds 入耳式耳机,Turntable 唱片机,Amplifier 功放",
    "computing": "Laptop 笔记本电脑,Keyboard 键盘,Mouse 鼠标,Monitor 显示器,Tablet 平板电脑,Printer 打印机,Router 路由器",
    "kitchen": "Kettle 水壶,Frying pan 煎锅,Knife 菜刀,Toaster 烤面包机,Rice cooker 电饭煲,Teapot 茶壶,Lunch box 饭盒",
    "home": "Sofa 沙发,Lamp 台灯,Curtain 窗帘,Pillow 枕头,Rug 地毯,Mirror 镜子,Bookshelf 书架,Bedding set 四件套,Vase 花瓶",
    "beauty": "Face cream 面霜,Lipstick 口红,Shampoo 洗发水,Perfume 香水,Sunscreen 防晒霜,Face mask 面膜,Serum 精华液",
    "sports": "Yoga mat 瑜伽垫,Tent 帐篷,Racket 球拍,Dumbbell 哑铃,Bicycle 自行车,Fishing rod 鱼竿,Skipping rope 跳绳",
    "toys": "Puzzle 拼图,Doll 娃娃,Building blocks 积木,Board game 桌游,Kite 风筝,Plush toy 毛绒玩具,Toy car 玩具车,Slime 史莱姆",
    "food": "Green tea 绿茶,Coffee beans 咖啡豆,Honey 蜂蜜,Noodles 面条,Chocolate 巧克力,Dried mango 芒果干,Olive oil 橄榄油",
    "pets": "Dog collar 狗项圈,Cat litter 猫砂,Aquarium 鱼缸,Pet bed 宠物窝,Bird cage 鸟笼,Chew toy 磨牙玩具,Cat tree 猫爬架",
}
_FIRST = (
    "Linen 亚麻,Cotton 纯棉,Wool 羊毛,Silk 真丝,Leather 真皮,Bamboo 竹制,Steel 不锈钢,Ceramic 陶瓷,Glass 玻璃,Wooden 实木,"
    "Wireless 无线,Bluetooth 蓝牙,Noise cancelling 主动降噪,Waterproof 防水,Foldable 折叠,Portable 便携,Breathable 透气,"
    "Organic 有机,Vintage 复古,Minimalist 极简,Handmade 手工,"
    "Limited edition 限量版,Oversized 宽松,Slim-fit 修身,Quilted 绗缝,Striped 条纹,"
    "Floral 碎花,Checked 格纹,Winter 冬季,Summer 夏季,Spring 春季,Autumn 秋季,Office 办公,Travel 旅行,Outdoor 户外,Smart 智能,"
    "Rechargeable 可充电,Lightweight 轻便,Heavy-duty 加厚,Fragrance-free 无香"
)
_SECOND = (
    "navy 藏青色,black 黑色,white 白色,red 红色,olive 橄榄绿,beige 米色,pink 粉色,grey 灰色,yellow 黄色,purple 紫色,brown 棕色,"
    "mini 迷你,large 大号,medium 中号,extra-long 加长,two-piece 两件套,classic 经典,premium 高级,budget 平价,professional 专业,"
    "antibacterial 抗菌,quick-drying 速干,UV-proof 防紫外线,stain-resistant 防污,soft 柔软,matte 哑光,glossy 亮面,retro 怀旧"
)
_LAST = (
    "for women 女款,for men 男款,for children 儿童款,for beginners 入门款,for gifts 礼盒装,with pockets 带口袋,with lid 带盖,"
    "with stand 带支架,set of two 两只装,new season 新款,2026 2026款,refill 补充装,gift box 礼品盒,family size 家庭装"
)


def make_vocabulary(size: int) -> TagVocabulary:
    """`size` tags, English and Chinese in turn, spread over twelve facets. Raises `InvalidSettings` outside FEWEST_TAGS and
    MOST_TAGS."""
    if not FEWEST_TAGS <= size <= MOST_TAGS:
        raise InvalidSettings(f"a vocabulary of {size} tags can't be made; between {FEWEST_TAGS} and {MOST_TAGS:,} can")
    chance = random.Random(20)
    heads = [(facet, *wording) for facet, wordings in _HEADS.items() for wording in _pairs(wordings)]
    first, second, last = _pairs(_FIRST), _pairs(_SECOND), _pairs(_LAST)
    tags: dict[str, Tag] = {}
    while len(tags) < size:
        language = len(tags) % 2
        facet, *head = chance.choice(heads)
        words = [chance.choice(first)[language]] if chance.random() < 0.9 else []
        words += [chance.choice(second)[language]] if words and chance.random() < 0.6 else []
        words += [head[language].lower() if words and language == 0 and head[0][1:].islower() else head[language]]
        words += [chance.choice(last)[language]] if chance.random() < 0.4 else []
        label = ("" if language else " ").join(words)
        tags.setdefault(label, Tag(label, {ANY_LANGUAGE: label}, facet))
    return TagVocabulary(f"{size} made-up tags", tags.values())


def _pairs(wordings: str) -> list[tuple[str, str]]:
    """(English, Chinese) of each wording; the Chinese one has no blanks."""
    return [(english, chinese) for english, chinese in (wording.rsplit(" ", 1) for wording in wordings.split(","))]


@dataclass(frozen=True, slots=True)
class Sample:
    """A listing in lines, the tags that answer it by index, and the reason, which quotes the listing or nothing."""

    lines: tuple[str, ...]
    tags: tuple[int, ...]
    explanation: str


def make_samples(vocabulary: TagVocabulary, count: int) -> list[Sample]:
    """`count` samples over the first FEWEST_TAGS tags, so that they fit every vocabulary of `make_vocabulary`; English and
    Chinese in turn, every other one with quotations."""
    chance = random.Random(3)
    return [_sample(vocabulary, chance, chinese=number % 2 == 1, quoting=number % 4 < 2) for number in range(count)]


def _sample(vocabulary: TagVocabulary, chance: random.Random, *, chinese: bool, quoting: bool) -> Sample:
    tags = _choose(vocabulary.tags[:FEWEST_TAGS], chance, chance.randint(3, 5))
    one, two = (vocabulary.tags[tag].label(ANY_LANGUAGE) for tag in chance.sample(tags, 2))
    if chinese:
        lines = (
            f"{one} 高品质 官方旗舰店正品",
            f"本店主推{one}，也适合搭配{two}，做工精细，日常通勤与周末出游都合适。",
            "面料经过预洗处理，不易变形，手感细腻；内里走线平整，贴身使用也不会觉得磨人，四季皆可。",
            "支持七天无理由退换，下单后四十八小时内发货，偏远地区除外。",
            "建议冷水手洗",
            "中国",
        )
        reason = f"文中提到“{one}”和“{two}”。" if quoting else "从描述来看，它适合日常通勤，也适合周末出游。"
    else:
        lines = (
            f"{one}, great quality, sold by the maker",
            f"Our bestseller: {one}, which goes well with {two}. Carefully made for the commute and for weekends away.",
            "Pre-washed so that it keeps its shape, with flat seams that do not rub. Comes in recycled paper, all year round.",
            "Free returns within thirty days; ships within two working days from our own warehouse.",
            "Hand wash cold",
            "Portugal",
        )
        reason = f"It says “{one}” and “{two}”." if quoting else "It suits the commute as well as weekends away."
    return Sample(lines, tags, reason)


def _choose(tags: Sequence[Tag], chance: random.Random, count: int) -> tuple[int, ...]:
    """Indexes of `count` tags, at most one of LIMITED_FACET."""
    chosen: list[int] = []
    for index in chance.sample(range(len(tags)), len(tags)):
        is_limited = tags[index].facet == LIMITED_FACET
        if not (is_limited and any(tags[other].facet == LIMITED_FACET for other in chosen)):
            chosen.append(index)
        if len(chosen) == count:
            break
    return tuple(chosen)
