"""3D Slicer's module OSLN: the PET over the CT, candidates with scores, decisions by key.

Only the window: what it does stands in `oslnlib`. docs/slicer.md says how to add it.
"""

import shutil
import tempfile

import numpy as np
import qt
import slicer
from oslnlib.review import COLUMNS, Review, row
from oslnlib.scene import Scene, drawings
from oslnlib.server import Server, ServerError, nrrd
from oslnlib.views import jump, show
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleWidget

TRAINING_MS = 10_000


class OSLN(ScriptedLoadableModule):
    """What Slicer lists."""

    def __init__(self, parent):
        super().__init__(parent)
        parent.title = "OSLN"
        parent.categories = ["Active Learning"]
        parent.helpText = "Lymph nodes found by OSLN Label. Keys: a accepts, r rejects, n next, p previous."


class OSLNWidget(ScriptedLoadableModuleWidget):
    """The window."""

    def setup(self):
        super().setup()
        self.server = self.scene = None
        self.review, self.base, self.tumor_base, self.why = Review(), 0, 0, ""
        self.folder = tempfile.mkdtemp(prefix="osln-")
        form = qt.QFormLayout()
        self.layout.addLayout(form)
        self.url = self._line(form, "Server", "url", "http://127.0.0.1:8000")
        self.name = self._line(form, "Your name", "name", "")
        self.password = qt.QLineEdit()
        self.password.echoMode = qt.QLineEdit.Password
        form.addRow("Password", self.password)
        self.strategy = qt.QComboBox()
        self.strategy.addItems(["mixed", "first", "random"])
        form.addRow("Strategy", self.strategy)
        self._button("Next Sample", self.next_sample)
        self._button("Take the CT of the scene", self.take_scene)
        self._button("Find nodes", self.find)
        self._button("Submit", self.submit)
        self.said, self.training = qt.QLabel(), qt.QLabel()
        self.said.wordWrap = True
        self.table = qt.QTableWidget(0, len(COLUMNS))
        self.table.setHorizontalHeaderLabels(list(COLUMNS))
        self.table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
        self.table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
        self.table.connect("cellClicked(int,int)", self._clicked)
        for widget in (self.said, self.table, self.training):
            self.layout.addWidget(widget)
        self.timer = qt.QTimer()
        self.timer.setInterval(TRAINING_MS)
        self.timer.connect("timeout()", self._tell_training)
        keys = {"a": self.accept, "r": self.reject, "n": self.next_one, "p": self.previous_one}
        self.shortcuts = [self._shortcut(key, act) for key, act in keys.items()]

    def enter(self):
        self._work(True)

    def exit(self):
        self._work(False)

    def cleanup(self):
        self._work(False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def next_sample(self):
        """Opens the next case; the scene is closed when the CT is there and nothing in it would be lost."""
        self._notice_closing()
        unsubmitted = self.scene.unsubmitted() if self.scene else bool(drawings())
        what = f"Case {self.review.case}" if self.review.case else "The scene"
        question = (
            f"{what} has drawings or decisions that OSLN has not submitted. Next Sample closes "
            "the scene, and they are lost. Cancel, and press Submit, to keep them."
        )
        if (unsubmitted or self.review.unsubmitted()) and not slicer.util.confirmOkCancelDisplay(question):
            return
        server = self._connected()
        sample = server.next_sample(self.strategy.currentText)
        if sample is None:
            self.said.text = "every case has an approved label"
            return
        file = server.image(sample["id"], self.folder)
        self._close(server)
        slicer.mrmlScene.Clear()
        ct = slicer.util.loadVolume(str(file), {"name": sample["id"]})
        self._open(sample["id"], ct, None, sample.get("why") or "")

    def take_scene(self):
        """After the module MONAILabel has opened a case: its CT has the name of the case."""
        self._notice_closing()
        question = (
            f"Case {self.review.case} has decisions that OSLN has not submitted. They are lost; what is "
            "drawn stays. Cancel, and press Submit, to keep them."
        )
        if self.review.unsubmitted() and not slicer.util.confirmOkCancelDisplay(question):
            return
        server = self._connected()
        ct = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
        if ct is None:
            raise ServerError("the scene has no CT: press Next Sample")
        case = server.opened(ct.GetName())
        self._close(server)
        self._open(case, ct, slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode"), "")

    def find(self):
        self._need_case()
        question = (
            "The nodes that are drawn, and decisions that were not submitted, give way to what is found."
        )
        lost = self.scene.drawn().any() or self.review.unsubmitted()
        if lost and not slicer.util.confirmOkCancelDisplay(question):
            return
        self.server.find(self.review.case)
        self._list(self.review.case, approved=False)

    def submit(self):
        self._need_case()
        self.scene.refuse_unknown()
        undecided, left = "accepted", len(self.review.left())
        if left:
            question = f"{left} candidates are undecided. Do those that are drawn count as nodes?"
            undecided = "accepted" if slicer.util.confirmYesNoDisplay(question) else "rejected"
        sent = self.review.submission(self.scene.drawn(), self.scene.tumor(), undecided)
        content = nrrd(sent[0], self.review.affine)
        reply = self.server.submit(self.review.case, content, *sent[1:], self.base, self.tumor_base)
        self.base = reply.get("revision", self.base)
        self.tumor_base = reply.get("tumor_revision") or self.tumor_base
        self.scene.submitted()
        self.review.submitted()
        slicer.util.infoDisplay(reply.get("message", "Stored."))

    def accept(self):
        if self.review.current is not None:
            self._need_case()
            self.scene.add(self.review.accept(self.scene.drawn()))
        self.next_one()

    def reject(self):
        if self.review.current is not None:
            self._need_case()
            self.scene.clear(self.review.reject(self.scene.drawn()))
        self.next_one()

    def next_one(self):
        self._jump(self.review.step(1))

    def previous_one(self):
        self._jump(self.review.step(-1))

    def _close(self, server):
        """No case is open: whatever fails while the next one opens, nothing can be submitted in its place."""
        self.server, self.scene, self.review, self.base, self.tumor_base = server, None, Review(), 0, 0
        self.said.text = ""
        self._fill()

    def _open(self, case, ct, segmentation, why):
        """Lays the PET over the CT and lists what was found; draws the nodes if nothing is drawn."""
        if segmentation is None:
            segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "segmentation")
            segmentation.CreateDefaultDisplayNodes()
        self.scene, self.why = Scene(ct, segmentation), why
        self.base, self.tumor_base = self.server.revision(case), self.server.tumor_revision(case)
        show(ct, self.server.file("/osln/pet", self.folder, image=case))
        self._list(case, approved=True)

    def _list(self, case, approved):
        """Lists the candidates; `approved`: stored nodes and what is drawn go before the prediction.

        The case counts as open when all of it is there and drawn.
        """
        review = Review(self.server.candidates(case), self.scene.affine())
        about = self.server.get("/osln/case", image=case)
        drawn = self.scene.drawn()
        if approved and drawn.any():
            review.started(drawn, predicted=False)
        else:
            stored = self._stored(case) if approved else None
            found = self._found(case) if stored is None else stored
            kept = review.started(found, predicted=stored is None)
            self.scene.draw(kept, single=stored is not None)
        self.review = review
        found = f"{len(review.listed)} candidates" if review.model else "Nothing found yet: Find nodes"
        told = [f"Case {case}", self.why, about["pet"]["message"], found, *about["warnings"]]
        self.said.text = ". ".join(one for one in told if one)
        self._fill()

    def _stored(self, case):
        """Approved nodes, a value each; None before the first revision."""
        label = self.server.label(case, self.folder) if self.base else None
        if label is None:
            return None
        file, tumor = label
        values = self._values(file)
        values[values == tumor] = 0
        return values

    def _found(self, case):
        """The stored prediction; zeros if there is none."""
        file = self.server.file("/datastore/label", self.folder, "found.nii.gz", label=case, tag="original")
        return np.zeros_like(self.scene.drawn()) if file is None else self._values(file)

    def _values(self, file):
        node = slicer.util.loadLabelVolume(str(file))
        values = slicer.util.arrayFromVolume(node).T.astype(np.uint16)
        slicer.mrmlScene.RemoveNode(node)
        return values

    def _jump(self, one):
        self._fill()
        if one is not None:
            jump(one["center_mm"])

    def _clicked(self, line, _):
        self._jump(self.review.select(self.review.listed[line]))

    def _fill(self):
        self.table.setRowCount(len(self.review.listed))
        for line, one in enumerate(self.review.listed):
            for column, text in enumerate(row(one)):
                self.table.setItem(line, column, qt.QTableWidgetItem(text))
            if one is self.review.current:
                self.table.selectRow(line)

    def _tell_training(self):
        try:
            self.training.text = self.server.training() if self.server else ""
        except ServerError as refused:
            self.training.text = str(refused)
            if not refused.status:
                # Slicer stands still while it waits: such a server is asked again after the next button.
                self.timer.stop()

    def _connected(self):
        """The server that the fields name; that of the open case stays until another one is opened."""
        for key, line in (("url", self.url), ("name", self.name)):
            qt.QSettings().setValue(f"OSLN/{key}", line.text)
        server = Server(self.url.text, self.name.text, self.password.text)
        server.login = lambda: (self.name.text, self.password.text)
        if not self.review.case:
            self.server = server
        return server

    def _notice_closing(self):
        """Slicer's scene may have been closed with File > Close Scene, or by the module MONAILabel."""
        if self.scene is not None and not (self.review.case and self.scene.there()):
            self._close(self.server)

    def _need_case(self):
        self._notice_closing()
        if self.scene is None:
            raise ServerError("no case is open: press Next Sample, or Take the CT of the scene")

    def _work(self, on):
        for shortcut in self.shortcuts:
            shortcut.enabled = on
        (self.timer.start if on else self.timer.stop)()

    def _press(self, act):
        self.timer.start()  # It stops while the server does not answer.
        self._try(act)

    def _try(self, act):
        with slicer.util.tryWithErrorDisplay(waitCursor=True):
            act()

    def _line(self, form, text, key, default):
        line = qt.QLineEdit(str(qt.QSettings().value(f"OSLN/{key}") or default))
        form.addRow(text, line)
        return line

    def _button(self, text, act):
        button = qt.QPushButton(text)
        button.connect("clicked()", lambda: self._press(act))
        self.layout.addWidget(button)

    def _shortcut(self, key, act):
        shortcut = qt.QShortcut(qt.QKeySequence(key), slicer.util.mainWindow())
        shortcut.connect("activated()", lambda: self._try(act))
        shortcut.enabled = False
        return shortcut
