package org.sightline.vla.finetune;

import java.util.List;
import org.sightline.formats.file.Printable;

/** Text of a page; whatever is given is escaped, and what is no letter is {@link Printable}. */
final class Html {
  private final StringBuilder text = new StringBuilder();

  /** Adds what is HTML already. */
  Html raw(String html) {
    text.append(html);
    return this;
  }

  /** Adds {@code <tag>text</tag>} on a line of its own. */
  Html element(String tag, String content) {
    return raw("<" + tag + ">").raw(escape(content)).raw("</" + tag + ">\n");
  }

  /** Opens a table, which scrolls by itself where the window is too narrow. */
  Html table(List<String> headings) {
    raw("<div class=\"wide\"><table>\n");
    if (!headings.isEmpty()) {
      raw("<tr>");
      headings.forEach(heading -> raw("<th>").raw(escape(heading)).raw("</th>"));
      raw("</tr>\n");
    }
    return this;
  }

  /** Adds a row that begins with its name. */
  Html row(String name, List<String> cells) {
    raw("<tr><th>").raw(escape(name)).raw("</th>");
    cells.forEach(cell -> raw("<td>").raw(escape(cell)).raw("</td>"));
    return raw("</tr>\n");
  }

  Html endTable() {
    return raw("</table></div>\n");
  }

  static String escape(String text) {
    return Printable.lines(text)
        .replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
        .replace("\"", "&quot;");
  }

  @Override
  public String toString() {
    return text.toString();
  }
}
