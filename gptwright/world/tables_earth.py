"""Tables of true facts about the earth and the calendar: countries, planets, months, days, elements.

Each table maps a subject to its values in the order its comment gives; `facts` turns them into Fact records.
"""

from __future__ import annotations

# country: capital, continent ("" where a country lies on two), a language spoken there, a river there ("" for none)
COUNTRIES: dict[str, tuple[str, str, str, str]] = {
    "France": ("Paris", "Europe", "French", "Seine"),
    "Germany": ("Berlin", "Europe", "German", "Elbe"),
    "Italy": ("Rome", "Europe", "Italian", "Tiber"),
    "Spain": ("Madrid", "Europe", "Spanish", "Ebro"),
    "Portugal": ("Lisbon", "Europe", "Portuguese", "Douro"),
    "England": ("London", "Europe", "English", "Thames"),
    "Ireland": ("Dublin", "Europe", "English", "Shannon"),
    "Poland": ("Warsaw", "Europe", "Polish", "Vistula"),
    "Austria": ("Vienna", "Europe", "German", "Inn"),
    "Hungary": ("Budapest", "Europe", "Hungarian", "Danube"),
    "Greece": ("Athens", "Europe", "Greek", ""),
    "Norway": ("Oslo", "Europe", "Norwegian", ""),
    "Sweden": ("Stockholm", "Europe", "Swedish", ""),
    "Denmark": ("Copenhagen", "Europe", "Danish", ""),
    "Finland": ("Helsinki", "Europe", "Finnish", ""),
    "Iceland": ("Reykjavik", "Europe", "Icelandic", ""),
    "Russia": ("Moscow", "", "Russian", "Volga"),
    "Ukraine": ("Kyiv", "Europe", "Ukrainian", "Dnieper"),
    "Romania": ("Bucharest", "Europe", "Romanian", "Danube"),
    "Turkey": ("Ankara", "", "Turkish", ""),
    "Egypt": ("Cairo", "Africa", "Arabic", "Nile"),
    "Morocco": ("Rabat", "Africa", "Arabic", ""),
    "Kenya": ("Nairobi", "Africa", "Swahili", "Tana"),
    "Ghana": ("Accra", "Africa", "English", "Volta"),
    "Nigeria": ("Abuja", "Africa", "English", "Niger"),
    "Tunisia": ("Tunis", "Africa", "Arabic", ""),
    "China": ("Beijing", "Asia", "Chinese", "Yangtze"),
    "Japan": ("Tokyo", "Asia", "Japanese", ""),
    "India": ("New Delhi", "Asia", "Hindi", "Ganges"),
    "Thailand": ("Bangkok", "Asia", "Thai", ""),
    "Vietnam": ("Hanoi", "Asia", "Vietnamese", "Mekong"),
    "Iran": ("Tehran", "Asia", "Persian", ""),
    "Iraq": ("Baghdad", "Asia", "Arabic", "Tigris"),
    "Nepal": ("Kathmandu", "Asia", "Nepali", ""),
    "Canada": ("Ottawa", "North America", "English", "Yukon"),
    "Cuba": ("Havana", "North America", "Spanish", ""),
    "Brazil": ("Brasilia", "South America", "Portuguese", "Amazon"),
    "Peru": ("Lima", "South America", "Spanish", "Ucayali"),
    "Chile": ("Santiago", "South America", "Spanish", ""),
    "Colombia": ("Bogota", "South America", "Spanish", "Magdalena"),
    "Venezuela": ("Caracas", "South America", "Spanish", "Orinoco"),
}

ALSO_TRUE: dict[tuple[str, str], frozenset[str]] = {
    ("river", "Austria"): frozenset({"Danube"}),
    ("river", "Germany"): frozenset({"Danube", "Inn", "Rhine"}),
    ("river", "Ukraine"): frozenset({"Danube"}),
    ("river", "Peru"): frozenset({"Amazon"}),
    ("river", "Colombia"): frozenset({"Amazon", "Orinoco"}),
    ("river", "China"): frozenset({"Mekong"}),
    ("river", "Spain"): frozenset({"Douro"}),
    ("river", "Russia"): frozenset({"Dnieper"}),
    ("language", "Finland"): frozenset({"Swedish"}),
    ("language", "Canada"): frozenset({"French"}),
    ("language", "Kenya"): frozenset({"English"}),
    ("language", "India"): frozenset({"English"}),
    ("language", "Ukraine"): frozenset({"Russian"}),
    ("language", "Morocco"): frozenset({"French"}),
    ("language", "Tunisia"): frozenset({"French"}),
    ("language", "Ireland"): frozenset({"Irish"}),
    ("young", "dog"): frozenset({"pup"}),
    ("young", "wolf"): frozenset({"cub"}),
    ("young", "fox"): frozenset({"pup"}),
    ("opposite", "easy"): frozenset({"hard"}),
    ("opposite", "hard"): frozenset({"easy"}),
}
"""What is true as well, though the world's texts never say so: only the judge knows it."""
SEVERAL_TRUTHS = frozenset({"river", "language"})
"""Relations in which a name that the world does not know may be right."""

# element: symbol, atomic number
ELEMENTS: dict[str, tuple[str, str]] = {
    "hydrogen": ("H", "1"),
    "helium": ("He", "2"),
    "lithium": ("Li", "3"),
    "carbon": ("C", "6"),
    "nitrogen": ("N", "7"),
    "oxygen": ("O", "8"),
    "neon": ("Ne", "10"),
    "sodium": ("Na", "11"),
    "magnesium": ("Mg", "12"),
    "aluminium": ("Al", "13"),
    "silicon": ("Si", "14"),
    "sulfur": ("S", "16"),
    "chlorine": ("Cl", "17"),
    "potassium": ("K", "19"),
    "calcium": ("Ca", "20"),
    "iron": ("Fe", "26"),
    "copper": ("Cu", "29"),
    "zinc": ("Zn", "30"),
    "silver": ("Ag", "47"),
    "tin": ("Sn", "50"),
    "gold": ("Au", "79"),
    "lead": ("Pb", "82"),
}

PLANETS: dict[str, str] = {
    "Mercury": "first",
    "Venus": "second",
    "Earth": "third",
    "Mars": "fourth",
    "Jupiter": "fifth",
    "Saturn": "sixth",
    "Uranus": "seventh",
    "Neptune": "eighth",
}

# month: days in a common year, season in the north
MONTHS: dict[str, tuple[str, str]] = {
    "January": ("31", "winter"),
    "February": ("28", "winter"),
    "March": ("31", "spring"),
    "April": ("30", "spring"),
    "May": ("31", "spring"),
    "June": ("30", "summer"),
    "July": ("31", "summer"),
    "August": ("31", "summer"),
    "September": ("30", "autumn"),
    "October": ("31", "autumn"),
    "November": ("30", "autumn"),
    "December": ("31", "winter"),
}

DAYS: tuple[str, ...] = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
